"""furniture.py: the words of Furniture & Lighting -> Department."""

from service.demo.vocabulary import Department, kind

FURNITURE = Department(
    "Furniture & Lighting",
    codes=False,
    kinds=(
        kind(
            "desk lamp",
            "Lighting > Desk Lamps",
            (25, 240),
            nouns="desk lamp | task lamp | clamp lamp",
            asked="light for reading at my table | study light | bright lamp for homework",
            made="powder-coated steel | aluminium | oak and steel",
            has="a dimmer | a swivel arm | a USB port | a fabric cord | three light colours",
            uses="home offices | homework | late reading | needlework",
            says="The arm stays exactly where you leave it."
            " | Light without flicker, warm or cool."
            " | A touch of the base is enough.",
            goes="monitor stand | office chair",
        ),
        kind(
            "pendant light",
            "Lighting > Ceiling Lights",
            (35, 420),
            nouns="pendant light | ceiling lamp | cluster pendant",
            asked="lamp above the dining table | hanging light for the kitchen"
            " | lights for a ceiling",
            made="mouth-blown glass | spun aluminium | woven rattan | paper",
            has="a textile cable | a dimmable bulb | a brass canopy | adjustable height",
            uses="dining tables | stairwells | kitchen islands | bedrooms",
            says="Throws a warm circle on the table and none into the eyes."
            " | Hung in ten minutes with two screws.",
            sizes="25 cm | 35 cm | 50 cm",
            goes="dining chair",
        ),
        kind(
            "dining chair",
            "Seating > Dining Chairs",
            (49, 390),
            nouns="dining chair | spindle chair | upholstered chair | stacking chair",
            asked="seat for the kitchen table | chair for guests | something to sit on at dinner",
            made="solid beech | oak and paper cord | moulded plywood | recycled plastic",
            has="a padded seat | a curved back | felt glides | armrests",
            uses="long dinners | small kitchens | the bedroom corner | extra guests",
            says="Comfortable until the last guest has left."
            " | Delivered in one piece, ready to sit on."
            " | The joints are glued and wedged, not screwed.",
            goes="pendant light | seat cushion",
        ),
        kind(
            "office chair",
            "Seating > Office Chairs",
            (99, 860),
            nouns="task chair | swivel chair | mesh office chair",
            asked="seat for working at home | chair for back pain | ergonomic seat for my desk",
            made="breathable mesh | wool felt and steel | recycled nylon",
            has="a lumbar support | 4D armrests | a headrest | a seat that slides",
            uses="home offices | tall people | eight-hour days | gamers",
            says="Follows you when you lean and pushes back when you slump."
            " | Set up once, in five minutes, with the tool included.",
            goes="desk lamp | desk mat",
        ),
        kind(
            "bookshelf",
            "Storage > Shelves",
            (39, 480),
            nouns="bookcase | ladder shelf | wall shelf | modular shelving unit",
            asked="somewhere to put my books | storage for the living room | rack for records",
            made="solid pine | oak veneer | powder-coated steel | bamboo",
            has="adjustable boards | a wall anchor | hidden brackets | a cable cut-out",
            uses="paperbacks | records | narrow hallways | plants",
            says="Grows sideways when the books do."
            " | Holds forty kilos per board."
            " | Goes together without a single visible screw.",
            sizes="60 cm | 80 cm | 120 cm",
            goes="storage box",
        ),
        kind(
            "storage box",
            "Storage > Boxes",
            (8, 75),
            nouns="storage box | lidded basket | under-bed box",
            asked="tidy up toys | put things away | container for winter clothes",
            made="recycled cardboard | woven seagrass | felt | canvas",
            has="a label holder | rope handles | a lid | reinforced corners",
            uses="wardrobes | toys | paperwork | under the bed",
            says="Folds flat when it has nothing to do. | Fits the usual cube shelves.",
            sizes="S | M | L | set of 3",
            goes="bookshelf",
        ),
        kind(
            "rug",
            "Textiles > Rugs",
            (35, 620),
            nouns="wool rug | flat-weave rug | jute rug | hallway runner",
            asked="carpet for the living room | something soft under my feet | hallway carpet",
            made="New Zealand wool | recycled cotton | jute | recycled PET",
            has="a tight weave | a bound edge | a reversible weave | an anti-slip underlay",
            uses="living rooms | hallways | children's rooms | terraces",
            says="Warm underfoot and forgiving with crumbs."
            " | Can be turned over when one side has seen enough.",
            sizes="70 x 140 cm | 120 x 180 cm | 160 x 230 cm | 200 x 300 cm",
            goes="seat cushion | blanket",
        ),
        kind(
            "seat cushion",
            "Textiles > Cushions",
            (12, 95),
            nouns="scatter cushion | seat pad | floor cushion",
            asked="pillow for the couch | something soft for hard chairs | decorative pillow",
            made="boiled wool | cotton velvet | washed linen | corduroy",
            has="a hidden zip | piping | a feather filling | ties",
            uses="sofas | benches | window seats | meditation",
            says="Plump on the sofa, flat in the wash. | The cover comes off in one pull.",
            sizes="40 x 40 cm | 45 x 45 cm | 50 x 50 cm",
            goes="rug | dining chair",
        ),
    ),
)
