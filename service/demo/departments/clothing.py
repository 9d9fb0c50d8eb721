"""clothing.py: the words of Clothing & Shoes -> Department."""

from service.demo.vocabulary import Department, kind

CLOTHING = Department(
    "Clothing & Shoes",
    codes=False,
    kinds=(
        kind(
            "rain jacket",
            "Jackets > Rain Jackets",
            (55, 340),
            nouns="rain shell | hardshell | storm shell | shell parka",
            asked="waterproof jacket | raincoat | something waterproof for hiking"
            " | coat that keeps the rain out",
            made="three-layer nylon | recycled polyester | waxed cotton",
            has="taped seams | an adjustable hood | underarm vents | a two-way zip"
            " | hand pockets above the hip belt",
            uses="hill walking | the daily commute | autumn storms | sailing",
            says="Keeps you dry when the forecast is wrong."
            " | Waterproof to 20,000 mm and still breathable."
            " | Packs into its own chest pocket."
            " | A raincoat for people who go out anyway.",
            sizes="S | M | L | XL",
            audience="women | men | kids",
            goes="hiking boots | hiking trousers",
        ),
        kind(
            "insulated jacket",
            "Jackets > Insulated Jackets",
            (69, 420),
            nouns="down jacket | puffer | quilted jacket | padded parka",
            asked="warm winter coat | jacket for freezing weather | light warm jacket",
            made="recycled down | synthetic insulation | ripstop nylon",
            has="a high collar | elastic cuffs | an inside pocket | a drawcord hem"
            " | a detachable hood",
            uses="frosty mornings | winter walks | ski holidays | camp evenings",
            says="Weighs less than a sweater and is twice as warm."
            " | A winter coat for temperatures well below zero."
            " | The chambers are stitched so that nothing slips.",
            sizes="S | M | L | XL",
            audience="women | men | kids",
            goes="knit hat | wool sweater",
        ),
        kind(
            "wool sweater",
            "Knitwear > Sweaters",
            (45, 240),
            nouns="merino pullover | lambswool jumper | cable-knit cardigan | fisherman's jumper",
            asked="warm sweater | knitted top | wool sweater that does not itch",
            made="merino wool | lambswool | recycled wool and cotton",
            has="ribbed cuffs | saddle shoulders | a ribbed hem | side slits | elbow patches",
            uses="cool evenings | the office | layering | weekends",
            says="Soft enough to wear next to the skin."
            " | Knitted in one piece, so no seam rubs."
            " | A sweater that gets better with the years.",
            sizes="S | M | L | XL",
            audience="women | men",
            goes="insulated jacket | jeans",
        ),
        kind(
            "jeans",
            "Trousers > Jeans",
            (39, 190),
            nouns="straight-leg jeans | tapered jeans | wide-leg jeans | slim-fit jeans",
            asked="denim trousers | blue trousers that stretch a little | jeans for tall people",
            made="organic denim | selvedge denim | stretch denim",
            has="a button fly | reinforced pockets | a high rise | copper rivets"
            " | contrast stitching",
            uses="every day | casual offices | the weekend",
            says="Sanforised, so they will not shrink."
            " | Washed with a fraction of the usual water."
            " | The fit is close at the hip and easy below the knee.",
            sizes="W28 L32 | W30 L32 | W32 L34 | W34 L34",
            audience="women | men",
            goes="sneakers | leather belt",
            form="many",
        ),
        kind(
            "hiking trousers",
            "Trousers > Hiking Trousers",
            (49, 210),
            nouns="trekking trousers | zip-off pants | softshell pants",
            asked="pants for walking in the mountains | quick-drying trousers | outdoor pants",
            made="stretch nylon | recycled polyamide | cotton-poly canvas",
            has="articulated knees | zipped thigh pockets | a soft waistband | reinforced hems"
            " | a built-in belt",
            uses="hill walking | climbing | travel | warm days",
            says="They dry on the leg within the hour."
            " | They stretch with every high step."
            " | Mosquitoes do not get through the weave.",
            sizes="S | M | L | XL",
            audience="women | men",
            goes="hiking boots | rain jacket",
            form="many",
        ),
        kind(
            "hiking boots",
            "Shoes > Hiking Boots",
            (79, 330),
            nouns="trekking boots | mountain boots | mid-cut hikers | leather walking boots",
            asked="shoes for hiking | waterproof footwear for mountains"
            " | ankle support for rough paths",
            made="nubuck leather | suede and mesh | waxed leather",
            has="a waterproof lining | a cushioned midsole | a rubber toe cap | a deep-lug sole"
            " | locking lace hooks",
            uses="rocky trails | long days with a heavy pack | muddy paths | via ferratas",
            says="They hold the ankle without pinching it."
            " | The sole grips on wet rock."
            " | They can be resoled, so they last for years."
            " | Footwear for hiking where paths are a suggestion.",
            sizes="EU 38 | EU 40 | EU 42 | EU 44",
            audience="women | men",
            goes="wool socks | hiking poles",
            form="many",
        ),
        kind(
            "sneakers",
            "Shoes > Sneakers",
            (49, 210),
            nouns="sneakers | low-top trainers | canvas lace-ups | court shoes",
            asked="casual shoes | comfy everyday footwear | shoes for the city",
            made="full-grain leather | organic canvas | recycled knit",
            has="a padded collar | a cupsole | a removable insole | flat laces | a heel tab",
            uses="every day | city breaks | casual Fridays | summer",
            says="They need no breaking in."
            " | The cupsole is stitched, not just glued."
            " | Everyday shoes that go with almost anything.",
            sizes="EU 37 | EU 39 | EU 41 | EU 43 | EU 45",
            audience="women | men | kids",
            goes="jeans | wool socks",
            form="many",
        ),
        kind(
            "wool socks",
            "Accessories > Socks",
            (9, 42),
            nouns="merino socks | crew socks | boot socks | ankle socks",
            asked="warm socks | socks against blisters | stockings for cold feet",
            made="merino wool | combed cotton | wool and silk",
            has="a cushioned heel | a flat toe seam | arch support | a soft cuff",
            uses="hiking | cold feet | running | every day",
            says="They stay up all day without pinching."
            " | Wool keeps smells away for days."
            " | They prevent blisters on the first long walk of the year.",
            sizes="35-38 | 39-42 | 43-46",
            goes="hiking boots",
            form="many",
        ),
        kind(
            "knit hat",
            "Accessories > Hats",
            (12, 65),
            nouns="beanie | bobble hat | watch cap | ribbed hat",
            asked="winter hat | cap for cold ears | woolly hat",
            made="lambswool | recycled acrylic | cashmere blend",
            has="a fleece lining | a turn-up brim | a pompom | a reflective label",
            uses="winter walks | the ski lift | cold commutes",
            says="Covers the ears and stays put."
            " | Fits under a bike helmet."
            " | A woolly companion from October to April.",
            sizes="one size",
            audience="women | men | kids",
            goes="insulated jacket",
        ),
        kind(
            "leather belt",
            "Accessories > Belts",
            (19, 120),
            nouns="leather belt | braided belt | webbing belt",
            asked="belt for suit trousers | strap to hold up my jeans",
            made="full-grain leather | vegetable-tanned leather | cotton webbing",
            has="a brass buckle | a nickel-free buckle | stitched edges | seven holes",
            uses="jeans | suits | every day",
            says="One piece of hide, no glued layers. | Darkens beautifully with wear.",
            sizes="85 cm | 95 cm | 105 cm",
            audience="women | men",
            goes="jeans",
        ),
    ),
)
