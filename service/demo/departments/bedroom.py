"""bedroom.py: the words of Bed & Bath -> Department."""

from service.demo.vocabulary import Department, kind

BEDROOM = Department(
    "Bed & Bath",
    codes=False,
    kinds=(
        kind(
            "duvet cover",
            "Bedding > Duvet Covers",
            (29, 210),
            nouns="duvet cover | bed linen set | quilt cover",
            asked="bedclothes | sheets for summer | cover for my blanket | cool bedding",
            made="washed linen | organic cotton percale | bamboo lyocell | brushed flannel",
            has="hidden buttons | corner ties | a matching pillowcase | a zip along the foot end",
            uses="hot sleepers | winter nights | guest rooms | children",
            says="Cool to the touch on the first night and every one after."
            " | Feels softer after every wash."
            " | Needs no ironing to look right.",
            sizes="135 x 200 cm | 155 x 220 cm | 200 x 200 cm",
            goes="pillow | blanket",
        ),
        kind(
            "pillow",
            "Bedding > Pillows",
            (15, 150),
            nouns="down pillow | memory-foam pillow | side-sleeper pillow",
            asked="cushion for my neck at night | help for a stiff neck | soft head rest for bed",
            made="goose down | recycled fibre | memory foam | kapok",
            has="a removable core | a cotton cover | adjustable filling | piped edges",
            uses="side sleepers | neck pain | allergies | travel",
            says="Take filling out until it fits you."
            " | Keeps neck and spine in one line."
            " | Washable at sixty degrees.",
            sizes="40 x 80 cm | 50 x 70 cm | 80 x 80 cm",
            goes="duvet cover",
            colours=False,
        ),
        kind(
            "blanket",
            "Bedding > Blankets",
            (25, 220),
            nouns="throw | wool blanket | picnic blanket | knitted plaid",
            asked="something cosy for the sofa | warm cover for cold evenings | cuddly bedspread",
            made="lambswool | recycled cotton | mohair blend | fleece",
            has="fringed ends | a blanket-stitched edge | a waffle weave | a name label",
            uses="sofas | reading chairs | picnics | cold feet",
            says="Woven on old looms, finished with a brush."
            " | The cosy end of a long day."
            " | Big enough for two who like each other.",
            sizes="130 x 170 cm | 140 x 200 cm | 200 x 220 cm",
            goes="duvet cover | scented candle",
        ),
        kind(
            "bath towels",
            "Bath > Towels",
            (14, 120),
            nouns="bath towels | towel set | waffle towels | hammam towels",
            asked="something to dry myself with | soft cloth for the shower | sauna sheet",
            made="organic cotton | Turkish cotton | linen and cotton",
            has="a hanging loop | a woven border | a waffle weave | long loops",
            uses="the sauna | guests | the gym | small bathrooms",
            says="They drink up water and dry by evening."
            " | They get softer, not thinner."
            " | 600 grams of cotton per square metre.",
            sizes="set of 2 | set of 4 | 70 x 140 cm",
            goes="bath mat | bathrobe",
            form="many",
        ),
        kind(
            "bath mat",
            "Bath > Mats",
            (12, 85),
            nouns="bath mat | shower mat | bathroom rug",
            asked="stop slipping after the shower | rug for wet feet | floor cloth by the tub",
            made="tufted cotton | organic cotton | bamboo viscose | recycled polyester",
            has="a non-slip backing | a deep pile | bound edges | a quick-drying weave",
            uses="cold tiles | small bathrooms | underfloor heating",
            says="Drinks up wet footprints in seconds. | Stays put on smooth tiles.",
            sizes="50 x 70 cm | 60 x 90 cm",
            goes="bath towels",
        ),
        kind(
            "bathrobe",
            "Bath > Bathrobes",
            (35, 190),
            nouns="bathrobe | kimono robe | hooded robe",
            asked="dressing gown | something to wear after the shower | spa coat",
            made="organic cotton terry | waffle cotton | bamboo lyocell",
            has="two deep pockets | a shawl collar | a hood | a belt with loops",
            uses="the sauna | Sunday mornings | travel",
            says="Warm from the first minute out of the shower. | Light enough for a weekend bag.",
            sizes="S | M | L | XL",
            audience="women | men",
            goes="bath towels",
        ),
        kind(
            "laundry basket",
            "Storage > Laundry",
            (15, 120),
            nouns="laundry hamper | laundry basket | washing basket",
            asked="bin for dirty clothes | sort my washing | basket with lid for clothes",
            made="woven seagrass | bamboo | recycled felt | canvas and steel",
            has="a removable liner | two compartments | leather handles | a lid",
            uses="bathrooms | big families | narrow corners",
            says="Swallows a week of washing and looks tidy doing it."
            " | The liner goes straight into the machine.",
            sizes="40 L | 70 L | 100 L",
            goes="iron | bath towels",
        ),
        kind(
            "scented candle",
            "Fragrance > Candles",
            (9, 75),
            nouns="scented candle | soy candle | jar candle",
            asked="nice smell for the living room | romantic light | gift that smells good",
            made="soy wax | beeswax | rapeseed wax",
            has="a cotton wick | a wooden lid | a refillable glass | a crackling wooden wick",
            uses="quiet evenings | the bathroom | gifts | dinner tables",
            says="Notes of fig leaf, cedar and a little smoke."
            " | Notes of orange peel, clove and warm resin."
            " | Notes of rain, moss and wet stone."
            " | Burns for fifty hours without soot.",
            sizes="120 g | 220 g | 400 g",
            goes="blanket",
            colours=False,
        ),
    ),
)
