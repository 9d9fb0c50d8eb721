"""appliances.py: the words of Home Appliances -> Department."""

from service.demo.vocabulary import Department, kind

APPLIANCES = Department(
    "Home Appliances",
    codes=True,
    kinds=(
        kind(
            "kettle",
            "Hot Drinks > Kettles",
            (25, 170),
            nouns="electric kettle | cordless kettle | gooseneck kettle"
            " | variable-temperature kettle",
            asked="boil water for tea | quick water boiler | kettle with temperature control",
            made="brushed steel | borosilicate glass | matt-coated steel",
            has="a keep-warm mode | a limescale filter | a 360-degree base | a slow-pour spout",
            uses="green tea | pour-over coffee | big families | small kitchens",
            says="Boils a litre in under three minutes."
            " | Switches itself off and stays cool outside."
            " | Five temperatures, from white tea to instant noodles.",
            sizes="0.8 L | 1.2 L | 1.7 L",
            goes="coffee mug | toaster",
        ),
        kind(
            "espresso machine",
            "Hot Drinks > Coffee Machines",
            (120, 1250),
            nouns="espresso machine | bean-to-cup machine | portafilter machine",
            asked="make cappuccino at home | barista coffee maker"
            " | coffee machine with milk frother",
            made="stainless steel | painted steel | steel and walnut",
            has="a steam wand | a built-in grinder | a pressure gauge | a cup warmer"
            " | a twin boiler",
            uses="cappuccino lovers | small offices | beginners | morning rush",
            says="Ready to brew forty seconds after you press the button."
            " | Keeps nine bars steady through the whole shot."
            " | Cleans its own brew group at night.",
            goes="coffee grinder | coffee mug",
        ),
        kind(
            "coffee maker",
            "Hot Drinks > Filter Coffee",
            (19, 260),
            nouns="filter coffee maker | drip brewer | filter coffee machine",
            asked="coffee machine without capsules | brew a pot of coffee | filter coffee at home",
            made="borosilicate glass | painted steel | stainless steel",
            has="a reusable filter | a thermal jug | a bloom function | a timer",
            uses="slow mornings | offices | camping | two cups",
            says="Brews at 93 degrees, where coffee tastes best."
            " | No capsules, no waste, no noise.",
            sizes="2 cups | 4 cups | 10 cups",
            goes="coffee grinder | kettle",
        ),
        kind(
            "coffee grinder",
            "Hot Drinks > Grinders",
            (29, 390),
            nouns="burr grinder | hand grinder | coffee mill",
            asked="grind coffee beans | fresh ground espresso | machine for milling beans",
            made="hardened steel and aluminium | ceramic and wood | stainless steel",
            has="forty settings | conical burrs | a dosing cup | an anti-static chute",
            uses="espresso | filter coffee | travel | quiet mornings",
            says="From Turkish to French press with one turn of the collar."
            " | Quiet enough for an early start."
            " | Each dose lands in the cup, not on the counter.",
            goes="espresso machine | coffee maker",
        ),
        kind(
            "toaster",
            "Breakfast > Toasters",
            (25, 190),
            nouns="two-slice toaster | four-slice toaster | long-slot toaster",
            asked="brown my bread in the morning | breakfast bread machine | toast for four",
            made="brushed steel | painted steel | heat-proof plastic",
            has="extra-wide slots | a crumb tray | a bun rack | a defrost button",
            uses="thick slices | bagels | big families | sourdough",
            says="Toasts both sides the same, every time."
            " | Lifts even small slices out of reach of the heat.",
            goes="kettle",
        ),
        kind(
            "blender",
            "Food Preparation > Blenders",
            (29, 430),
            nouns="stand blender | personal blender | smoothie maker",
            asked="mix fruit drinks | crush ice | puree soup | machine for smoothies",
            made="Tritan and steel | borosilicate glass | stainless steel",
            has="six blades | a pulse button | a to-go cup | a tamper | a quiet hood",
            uses="smoothies | soups | baby food | nut butter",
            says="Turns frozen berries into sorbet."
            " | Rinses clean in half a minute."
            " | The motor is strong and does not shout about it.",
            sizes="600 W | 900 W | 1400 W",
            goes="food containers",
        ),
        kind(
            "vacuum cleaner",
            "Cleaning > Vacuum Cleaners",
            (79, 720),
            nouns="cordless stick vac | robot vacuum | handheld vac",
            asked="hoover | clean the floor by itself | suck up dog hair | vacuum for stairs",
            made="recycled plastic | aluminium and plastic | fibre-reinforced plastic",
            has="a HEPA filter | an anti-tangle brush | a spare battery | a large dust bin"
            " | a charging dock",
            uses="pet hair | hard floors | allergies | small flats",
            says="Runs for an hour on one charge."
            " | Empties at the push of a button, dust stays inside."
            " | Quieter than a conversation.",
            goes="air purifier",
        ),
        kind(
            "air purifier",
            "Climate > Air Purifiers",
            (69, 520),
            nouns="air purifier | HEPA air cleaner | room air filter",
            asked="clean air against pollen | help for allergies at home"
            " | less dust in the bedroom",
            made="recycled plastic | steel and fabric | bamboo and plastic",
            has="a sleep mode | a particle sensor | a washable pre-filter | an app | a child lock",
            uses="bedrooms | allergies | city flats | nurseries",
            says="Changes the air of a bedroom five times an hour."
            " | The light ring shows how clean the air is."
            " | At night it is as quiet as falling leaves.",
            sizes="20 m² | 40 m² | 70 m²",
            goes="vacuum cleaner",
        ),
        kind(
            "iron",
            "Laundry > Irons",
            (25, 320),
            nouns="steam iron | travel iron | cordless iron",
            asked="get wrinkles out of shirts | press clothes | smooth a dress when travelling",
            made="ceramic and plastic | stainless steel | anodised aluminium",
            has="a vertical steam jet | an automatic switch-off | an anti-drip tip | a long cord",
            uses="shirts | travel | curtains | delicate fabrics",
            says="Hot and steaming in thirty seconds."
            " | Glides over buttons without snagging."
            " | Thinks of switching off when you do not.",
            sizes="1600 W | 2400 W | 3000 W",
            goes="laundry basket",
        ),
    ),
)
