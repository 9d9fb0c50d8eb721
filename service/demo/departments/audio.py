"""audio.py: the words of Audio & Photo -> Department."""

from service.demo.vocabulary import Department, kind

AUDIO = Department(
    "Audio & Photo",
    codes=True,
    kinds=(
        kind(
            "headphones",
            "Headphones > Over-Ear",
            (39, 480),
            nouns="over-ear headphones | noise-cancelling headphones | studio headphones",
            asked="headset against noise on a plane | listen in peace | wireless cans for music",
            made="aluminium and leather | recycled plastic | steel and fabric",
            has="memory-foam pads | a folding frame | a detachable cable | a talk-through button",
            uses="long flights | open-plan offices | mixing | quiet evenings",
            says="Forty hours of music between charges."
            " | The noise of the train simply goes away."
            " | The pads can be changed without tools.",
            goes="turntable | headphone case",
            form="many",
        ),
        kind(
            "earbuds",
            "Headphones > In-Ear",
            (19, 290),
            nouns="true wireless earbuds | in-ear monitors | sports earphones",
            asked="little headphones for running | bluetooth earpieces | earplugs with music",
            made="recycled plastic | titanium | medical-grade silicone",
            has="four tip sizes | a wireless charging case | ear hooks | an ambient mode",
            uses="running | phone calls | the commute | musicians on stage",
            says="They stay in, even on a sprint."
            " | The case charges them four times over."
            " | Callers will not hear the wind.",
            goes="phone case | phone charger",
            form="many",
        ),
        kind(
            "headphone case",
            "Headphones > Accessories",
            (9, 49),
            nouns="headphone case | earbud case cover | hard-shell travel case",
            asked="carry headphones safely | box for my headset | pouch for earbuds",
            made="moulded EVA | wool felt | recycled polyester",
            has="a mesh pocket | a carabiner | a two-way zip | a soft lining",
            uses="hand luggage | backpacks | gym bags",
            says="A shell around the things that break. | Room for the cable and the adapter too.",
            goes="headphones",
        ),
        kind(
            "portable speaker",
            "Speakers > Portable",
            (25, 360),
            nouns="Bluetooth speaker | portable speaker | outdoor speaker",
            asked="music box for the beach | play songs in the garden | loudspeaker for a picnic",
            made="recycled fabric | aluminium | rubberised plastic",
            has="a carry strap | stereo pairing | a waterproof shell | a party light"
            " | a built-in mic",
            uses="the beach | garden parties | the shower | picnics",
            says="Floats, shrugs and plays on."
            " | Fills a garden and still fits a rucksack."
            " | Twenty hours of songs from one charge.",
            goes="power bank",
        ),
        kind(
            "turntable",
            "Hi-Fi > Players",
            (89, 820),
            nouns="turntable | record player | belt-drive turntable",
            asked="play vinyl | listen to my old LPs | hi-fi for the living room",
            made="aluminium | walnut and steel | painted MDF",
            has="a built-in preamp | a dust cover | two speeds | a felt mat | a carbon tonearm",
            uses="vinyl lovers | small living rooms | bookshelf speakers",
            says="Three cables and you are listening."
            " | The platter is turned from one piece of metal."
            " | Lifts its arm politely at the end of a side.",
            goes="headphones",
        ),
        kind(
            "camera bag",
            "Photo > Bags",
            (29, 260),
            nouns="camera bag | sling bag | camera case | photo backpack",
            asked="carry my lenses | protect a camera | bag for photo gear",
            made="waxed canvas | recycled nylon | full-grain leather",
            has="movable dividers | a side opening | a tripod strap | a rain cover"
            " | a tablet sleeve",
            uses="street photography | travel | two lenses | drones",
            says="The camera is out before the moment is gone."
            " | The dividers follow your gear, not the other way round.",
            sizes="5 L | 10 L | 20 L",
            goes="tripod | camera filter",
        ),
        kind(
            "tripod",
            "Photo > Tripods",
            (25, 420),
            nouns="travel tripod | phone tripod | video tripod | mini tripod",
            asked="keep my camera steady | stand for long exposures | selfie legs",
            made="carbon fibre | aluminium | magnesium alloy",
            has="a ball head | twist locks | a phone clamp | spiked feet | a fluid head",
            uses="landscapes | vlogging | macro shots | night skies",
            says="Stands still in a stiff breeze. | Folds to the length of an umbrella.",
            sizes="40 cm | 130 cm | 155 cm",
            goes="camera bag",
            colours=False,
        ),
        kind(
            "camera filter",
            "Photo > Filters",
            (15, 150),
            nouns="polarising filter | ND filter | UV filter",
            asked="less glare in photos | glass for my lens | smooth waterfalls in daylight",
            made="optical glass | coated optical glass",
            has="a brass ring | a slim frame | a nano coating | a metal tin",
            uses="landscapes | waterfalls | bright beaches | protection",
            says="No colour cast, no vignetting at wide angles. | Water drops simply roll off.",
            sizes="52 mm | 58 mm | 67 mm | 77 mm",
            goes="camera bag",
            colours=False,
        ),
    ),
)
