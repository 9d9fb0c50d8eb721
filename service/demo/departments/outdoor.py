"""outdoor.py: the words of Outdoor & Camping -> Department."""

from service.demo.vocabulary import Department, kind

OUTDOOR = Department(
    "Outdoor & Camping",
    codes=False,
    kinds=(
        kind(
            "tent",
            "Tents & Shelters > Tents",
            (89, 620),
            nouns="dome tent | tunnel tent | trekking tent | backpacking tent",
            asked="camping shelter | something to sleep in outdoors | light shelter for two"
            " | place to sleep at a festival",
            made="ripstop nylon | ripstop polyester | silicone-coated nylon",
            has="aluminium poles | two porches | a mesh inner | taped seams | colour-coded poles"
            " | a bathtub floor",
            uses="bike touring | family camping | long-distance trails | festival weekends",
            says="Goes up in under eight minutes, even in the wind."
            " | The flysheet stands up to a 3,000 mm water column."
            " | Vents at both ends keep condensation down."
            " | A camping shelter that two people can carry between them.",
            sizes="1 person | 2 person | 3 person | 4 person",
            goes="sleeping bag | sleeping mat",
        ),
        kind(
            "sleeping bag",
            "Sleeping > Sleeping Bags",
            (49, 420),
            nouns="sleeping bag | mummy bag | down bag | quilt bag",
            asked="warm bedding for camping | bag for cold nights outside"
            " | something warm for a tent",
            made="hydrophobic down | recycled hollow fibre | brushed polyester",
            has="a draught collar | a two-way zip | an inside pocket | a snug hood"
            " | a roomy footbox",
            uses="alpine huts | three-season camping | winter bivouacs | summer trips",
            says="Packs down to the size of a loaf of bread."
            " | The comfort limit is measured, not guessed."
            " | Two of them zip together into a double."
            " | Warm bedding for cold nights outside.",
            sizes="regular | long | -5 °C | 0 °C | 8 °C",
            goes="sleeping mat | head torch",
        ),
        kind(
            "sleeping mat",
            "Sleeping > Sleeping Mats",
            (25, 210),
            nouns="sleeping mat | inflatable sleeping pad | self-inflating mat | foam pad",
            asked="air mattress for camping | camping mattress"
            " | something soft to lie on in a tent",
            made="closed-cell foam | 20-denier polyester | TPU-laminated nylon",
            has="a flat valve | a pump sack | a non-slip base | raised side rails | a repair kit",
            uses="backpacking | side sleepers | cold ground | car camping",
            says="Rolls up smaller than a water bottle."
            " | Insulation inside reflects the warmth of the body."
            " | Fills with a dozen breaths."
            " | Lies flat like a proper mattress, even on gravel.",
            sizes="regular | wide | long",
            goes="sleeping bag | tent",
        ),
        kind(
            "hiking backpack",
            "Packs > Hiking Backpacks",
            (59, 330),
            nouns="trekking pack | hiking pack | daypack | touring rucksack",
            asked="backpack for hiking | rucksack for the mountains | bag for a day walk"
            " | carry my gear on a long walk",
            made="recycled nylon | ripstop nylon | coated polyester",
            has="a rain cover | a mesh back panel | a padded hip belt | two stretch side pockets"
            " | a hydration sleeve | a top lid pocket",
            uses="day hikes | hut-to-hut tours | long-distance trails | travel",
            says="The frame moves the load from the shoulders to the hips."
            " | The back length adjusts in seconds."
            " | Loops hold poles and an ice axe."
            " | A rucksack that still sits well at the end of a long day.",
            sizes="18 L | 24 L | 32 L | 45 L | 60 L",
            goes="water bottle | hiking poles",
        ),
        kind(
            "hiking poles",
            "Hiking Gear > Poles",
            (29, 190),
            nouns="trekking poles | folding poles | telescopic hiking poles",
            asked="walking sticks | nordic walking sticks | sticks for steep descents"
            " | something to spare my knees downhill",
            made="carbon fibre | 7075 aluminium | aluminium and carbon",
            has="cork grips | tungsten tips | flick locks | snow baskets | padded wrist straps",
            uses="steep descents | nordic walking | winter walks | ultra-light trekking",
            says="They take the strain off the knees on the way down."
            " | Each section locks with one hand."
            " | They fold short enough for hand luggage.",
            sizes="100-120 cm | 110-130 cm | 65-135 cm",
            goes="hiking backpack | hiking boots",
            form="many",
        ),
        kind(
            "head torch",
            "Lights > Head Torches",
            (15, 120),
            nouns="head torch | headlamp | rechargeable headlamp",
            asked="light for my head | hands-free light | flashlight for night hikes"
            " | lamp for running in the dark",
            made="impact-proof polycarbonate | aluminium | recycled plastic",
            has="a red light mode | a tilting head | a lock button | a washable strap"
            " | a battery level display",
            uses="night hikes | trail running | reading in the tent | night shifts",
            says="Charges over USB-C in two hours."
            " | The beam reaches from your map to the next marker post."
            " | Rain does not bother it: it is sealed to IPX6.",
            sizes="200 lm | 400 lm | 700 lm | 1000 lm",
            goes="camping stove | tent",
        ),
        kind(
            "camping stove",
            "Camp Kitchen > Stoves",
            (19, 180),
            nouns="gas stove | canister stove | trekking stove | compact stove",
            asked="camping cooker | something to cook on outside | boil water on a trail"
            " | burner for camping meals",
            made="stainless steel | titanium | anodised aluminium",
            has="a piezo lighter | folding pot supports | a windshield | a simmer control"
            " | a carry pouch",
            uses="solo trips | quick meals | coffee on the trail | van trips",
            says="Boils half a litre in three minutes."
            " | The flame turns down low enough for porridge."
            " | A cooker that disappears into a mug when packed.",
            sizes="2.2 kW | 2.8 kW | 3.5 kW",
            goes="camping cook set | water bottle",
            colours=False,
        ),
        kind(
            "camping cook set",
            "Camp Kitchen > Cookware",
            (22, 140),
            nouns="camp cook set | nesting pot set | trail mess kit",
            asked="pots and pans for camping | outdoor cookware | dishes for hiking",
            made="hard-anodised aluminium | titanium | stainless steel",
            has="folding handles | a strainer lid | measuring marks | two bowls | a mesh bag",
            uses="two people | family camping | weekend tours | canoe trips",
            says="Everything nests into the largest pot."
            " | The lids double as plates."
            " | Cookware that survives being sat on.",
            sizes="1.2 L | 2 L | 3 L",
            goes="camping stove",
            colours=False,
        ),
        kind(
            "water bottle",
            "Hydration > Bottles",
            (9, 55),
            nouns="drinking bottle | insulated bottle | steel bottle | flask",
            asked="water bottle | thermos for tea | keeps drinks cold"
            " | leakproof bottle for school",
            made="stainless steel | Tritan plastic | borosilicate glass",
            has="a leakproof lid | a carry loop | a straw cap | a wide mouth"
            " | a powder-coated finish",
            uses="the gym | long hikes | school | the office",
            says="Keeps drinks cold for a day and hot for half of one."
            " | The mouth is wide enough for ice cubes."
            " | Goes in the dishwasher, lid and all."
            " | Nothing leaks, even upside down in a bag.",
            sizes="0.5 L | 0.75 L | 1 L",
            goes="hiking backpack",
        ),
    ),
)
