"""cycling.py: the words of Cycling -> Department."""

from service.demo.vocabulary import Department, kind

CYCLING = Department(
    "Cycling",
    codes=True,
    kinds=(
        kind(
            "bike helmet",
            "Helmets & Protection > Helmets",
            (35, 260),
            nouns="commuter helmet | road helmet | trail helmet | urban helmet",
            asked="head protection for cycling | bicycle helmet | safe helmet for a child",
            made="in-moulded polycarbonate | EPS foam with a hard shell | recycled EPS",
            has="a rotational liner | a rear light | a magnetic buckle | a bug net"
            " | a turn-dial fit",
            uses="commuting | road racing | bike parks | e-bikes",
            says="Sixteen vents keep the head cool."
            " | The dial at the back fits it with one hand."
            " | A slip layer inside takes the twist out of a fall.",
            sizes="52-56 cm | 55-59 cm | 58-62 cm",
            goes="bike light | bike lock",
        ),
        kind(
            "bike light",
            "Accessories > Lights",
            (15, 160),
            nouns="front light | rear light | bike light set | bar-mounted headlight",
            asked="bicycle lamp | be seen at night on my bike | headlight for cycling",
            made="aluminium | impact-proof polycarbonate",
            has="a tool-free mount | a brake light mode | an automatic dimmer | side visibility",
            uses="dark commutes | winter training | night rides | touring",
            says="Charges over USB-C and warns before it dies."
            " | Does not dazzle the people coming your way."
            " | Rainproof to IPX5.",
            sizes="30 lux | 50 lux | 100 lux",
            goes="bike lock | bike helmet",
            colours=False,
        ),
        kind(
            "bike lock",
            "Accessories > Locks",
            (19, 150),
            nouns="U-lock | folding lock | chain lock",
            asked="bicycle security | stop bike theft | lock for an e-bike",
            made="hardened steel | manganese steel",
            has="a disc cylinder | a frame mount | three keys | a fabric sleeve | a dust cover",
            uses="city streets | train stations | expensive bikes | overnight parking",
            says="Independent testers gave it four stars out of five."
            " | Long enough for the frame, the wheel and a lamp post."
            " | Bolt cutters just leave a mark.",
            sizes="85 cm | 110 cm | 230 mm",
            goes="bike light",
        ),
        kind(
            "bike pump",
            "Tools & Care > Pumps",
            (14, 130),
            nouns="floor pump | mini pump | frame pump | track pump",
            asked="inflate a bicycle tyre | air pump for flat tyres | small pump for the road",
            made="aluminium | steel | fibre-reinforced plastic",
            has="a pressure gauge | a head for both valves | a flexible hose | a folding foot",
            uses="road tyres | tubeless set-ups | the workshop | emergencies",
            says="Reaches eight bar without heroics."
            " | Fits both common valves without swapping parts."
            " | Gets a flat tyre back to work in two minutes.",
            goes="bike tyre | bike multi-tool",
        ),
        kind(
            "bike multi-tool",
            "Tools & Care > Tools",
            (15, 95),
            nouns="multi-tool | pocket tool | ratchet tool kit",
            asked="bicycle repair kit | hex keys for my bike | fix a chain on the road",
            made="chrome vanadium steel | stainless steel",
            has="a chain breaker | tyre levers | a quick-link holder | eighteen functions",
            uses="roadside repairs | bike-packing | saddle bags",
            says="Every bit is one that you will really need."
            " | Long enough to reach the bottle cage bolts.",
            sizes="12 functions | 18 functions | 22 functions",
            goes="bike pump",
            colours=False,
        ),
        kind(
            "bike tyre",
            "Parts > Tyres",
            (19, 95),
            nouns="gravel tyre | road tyre | touring tyre | winter tyre",
            asked="bicycle tire | puncture-proof tire | rubber for gravel riding",
            made="natural rubber | dual-compound rubber | graphene rubber",
            has="a puncture belt | a reflective stripe | a folding bead | tubeless-ready edges",
            uses="gravel roads | commuting | fast group rides | wet winters",
            says="Glass and thorns rarely get through the belt."
            " | Rolls fast on tarmac and grips off it."
            " | Mounts by hand, without levers.",
            sizes="28 mm | 32 mm | 40 mm | 45 mm",
            goes="bike pump",
            colours=False,
        ),
        kind(
            "bike pannier",
            "Bags > Panniers",
            (35, 190),
            nouns="pannier | pannier bag | rack bag | touring bag",
            asked="bag for my bike | carry shopping on a bicycle | waterproof luggage for touring",
            made="PVC-free tarpaulin | waxed canvas | coated polyester",
            has="a roll top | a one-hand mount | a shoulder strap | a laptop sleeve"
            " | reflective patches",
            uses="touring | shopping | the commute | bike-packing",
            says="Welded seams keep a week's luggage dry."
            " | Clicks on and off with one hand."
            " | Becomes a shoulder bag at the office.",
            sizes="7 L | 14 L | 20 L | 2 x 20 L",
            goes="bike light | rain jacket",
        ),
        kind(
            "bike cover",
            "Accessories > Covers",
            (15, 90),
            nouns="bike cover | bicycle garage | waterproof bike cover",
            asked="protect a bicycle from rain | tarp for two bikes",
            made="210D polyester | ripstop nylon | coated tarpaulin",
            has="lock holes | buckles under the bottom bracket | a storage pouch | taped seams",
            uses="balconies | winter storage | camper vans",
            says="Keeps rain, dust and curious cats off the saddle."
            " | The buckles hold it down in a storm.",
            sizes="one bike | two bikes",
            goes="bike lock",
        ),
    ),
)
