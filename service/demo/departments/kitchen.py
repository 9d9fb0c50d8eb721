"""kitchen.py: the words of Kitchen & Dining -> Department."""

from service.demo.vocabulary import Department, kind

KITCHEN = Department(
    "Kitchen & Dining",
    codes=False,
    kinds=(
        kind(
            "frying pan",
            "Cookware > Pans",
            (19, 190),
            nouns="skillet | frypan | sauté pan",
            asked="frying pan | non-stick pan for eggs | pan for induction",
            made="cast iron | carbon steel | tri-ply stainless steel | ceramic-coated aluminium",
            has="a riveted handle | a pouring lip | a helper handle | an induction base",
            uses="steaks | pancakes | induction hobs | campfires",
            says="Eggs slide off once it is seasoned."
            " | Goes from the hob into the oven."
            " | Heats evenly right up to the rim.",
            sizes="20 cm | 24 cm | 28 cm | 32 cm",
            goes="chef's knife | saucepan",
        ),
        kind(
            "saucepan",
            "Cookware > Pots",
            (25, 260),
            nouns="saucepan | casserole | stockpot | braising pot",
            asked="pot for soup | cooking pot with lid | big pot for pasta | dutch oven",
            made="enamelled cast iron | stainless steel | copper-core steel",
            has="a glass lid | measuring marks | stay-cool handles | a drip-free rim",
            uses="stews | pasta nights | slow braises | big families",
            says="Holds the heat long after the hob is off."
            " | The lid sends the steam back into the stew."
            " | Comes to the table without looking out of place.",
            sizes="1.5 L | 2.5 L | 4 L | 6 L",
            goes="frying pan",
        ),
        kind(
            "chef's knife",
            "Knives > Chef's Knives",
            (19, 260),
            nouns="chef's knife | santoku | cook's knife | utility knife",
            asked="sharp kitchen knife | knife for vegetables | knife for slicing meat",
            made="high-carbon steel | damascus steel | stainless steel",
            has="a walnut handle | a full tang | a hammered blade | a safe finger guard",
            uses="vegetables | fine slicing | butchering | small hands",
            says="Sharpened to fifteen degrees on each side."
            " | Balanced where the blade meets the handle."
            " | Slices a ripe tomato without pressure.",
            sizes="10 cm | 15 cm | 18 cm | 21 cm",
            goes="chopping board | knife sharpener",
            colours=False,
        ),
        kind(
            "knife sharpener",
            "Knives > Sharpeners",
            (12, 140),
            nouns="whetstone | sharpening stone | combination stone",
            asked="make blunt knives sharp | grinding stone for blades | sharpen kitchen knives",
            made="corundum | ceramic | diamond-coated steel",
            has="two grits | a bamboo base | an angle guide | a rubber foot",
            uses="dull blades | pocket knives | weekly care",
            says="Ten strokes bring the edge back. | The guide keeps the angle for you.",
            goes="chef's knife",
            colours=False,
        ),
        kind(
            "chopping board",
            "Preparation > Boards",
            (12, 120),
            nouns="chopping board | cutting board | carving board",
            asked="wooden board for cutting vegetables | board with juice groove | butcher block",
            made="end-grain oak | bamboo | acacia | recycled paper composite",
            has="a juice groove | rubber feet | a hanging loop | two usable sides",
            uses="bread | roasts | cheese platters | small kitchens",
            says="Kind to the edge of a good knife."
            " | Oiled by hand before it leaves the workshop."
            " | Heavy enough to stay where it is.",
            sizes="30 x 20 cm | 40 x 30 cm | 50 x 35 cm",
            goes="chef's knife",
            colours=False,
        ),
        kind(
            "coffee mug",
            "Tableware > Mugs",
            (8, 45),
            nouns="stoneware mug | enamel mug | porcelain cup | big mug",
            asked="cup for coffee | something for hot chocolate | teacup",
            made="stoneware | enamelled steel | fine porcelain",
            has="a generous handle | a speckled finish | a rounded lip | a matt base",
            uses="morning coffee | the office | long evenings | gifts",
            says="Each one is finished by hand, so no two are alike."
            " | Holds a proper mugful."
            " | The dishwasher does it no harm.",
            sizes="250 ml | 350 ml | 450 ml",
            goes="coffee maker",
        ),
        kind(
            "dinner plates",
            "Tableware > Plates",
            (24, 190),
            nouns="dinner plates | plate set | pasta bowls",
            asked="dishes for six people | crockery | tableware for guests",
            made="stoneware | porcelain | recycled glass | bamboo fibre",
            has="a raised rim | a reactive glaze | a matt finish | a stackable shape",
            uses="every day | dinner parties | children | outdoor tables",
            says="They stack neatly in a narrow cupboard."
            " | They shrug off cutlery marks."
            " | Crockery that makes leftovers look good.",
            sizes="set of 4 | set of 6 | set of 12",
            goes="coffee mug | wine glasses",
            form="many",
        ),
        kind(
            "wine glasses",
            "Tableware > Glasses",
            (18, 160),
            nouns="wine glasses | red wine glasses | white wine glasses",
            asked="glasses for red wine | drinking glasses | glassware for a party",
            made="lead-free crystal | borosilicate glass | recycled glass",
            has="long stems | a fine rim | wide bases | a hand-cut pattern",
            uses="dinner parties | celebrations | every day",
            says="They ring when they touch."
            " | They come out of the dishwasher as clear as they went in.",
            sizes="set of 2 | set of 4 | set of 6",
            goes="dinner plates",
            form="many",
            colours=False,
        ),
        kind(
            "food containers",
            "Storage > Containers",
            (9, 75),
            nouns="food containers | lunch boxes | bento boxes",
            asked="tupperware | keep leftovers fresh | box for school lunch | meal prep boxes",
            made="borosilicate glass | stainless steel | BPA-free plastic",
            has="clip lids | silicone seals | a divider | a steam vent",
            uses="meal prep | school | leftovers | dry goods",
            says="Airtight, leakproof and easy to stack."
            " | They go from the freezer to the microwave."
            " | Lids stay on in the bottom of a rucksack.",
            sizes="set of 3 | set of 5 | 0.6 L | 1 L",
            goes="water bottle",
            form="many",
        ),
    ),
)
