"""computing.py: the words of Phones & Computing -> Department."""

from service.demo.vocabulary import Department, kind

COMPUTING = Department(
    "Phones & Computing",
    codes=True,
    kinds=(
        kind(
            "phone case",
            "Phone Accessories > Cases",
            (9, 70),
            nouns="phone case | bumper case | wallet case | silicone cover",
            asked="protect my mobile | smartphone cover | shell against drops",
            made="recycled TPU | vegetable-tanned leather | aramid fibre | liquid silicone",
            has="a raised camera ring | a card slot | magnets for wireless charging"
            " | a lanyard loop",
            uses="butterfingers | travel | building sites | minimalists",
            says="Survives falls from two metres."
            " | The buttons still click as they should."
            " | Adds less than two millimetres.",
            sizes='6.1" | 6.4" | 6.7"',
            goes="screen protector | phone charger",
        ),
        kind(
            "screen protector",
            "Phone Accessories > Screen Protectors",
            (7, 39),
            nouns="glass protector | screen film | privacy glass",
            asked="stop scratches on my display | tempered glass for smartphone",
            made="tempered glass | hydrogel film | sapphire-coated glass",
            has="an alignment frame | an anti-fingerprint layer | a blue light filter | a spare",
            uses="scratch-prone pockets | trains and planes | bright sun",
            says="Goes on without bubbles, thanks to the frame. | Keys and sand leave no marks.",
            sizes='6.1" | 6.4" | 6.7"',
            goes="phone case",
            colours=False,
        ),
        kind(
            "phone charger",
            "Power > Chargers",
            (12, 110),
            nouns="USB-C charger | wall charger | travel charger | desktop charger",
            asked="charge my mobile quickly | plug for usb cable | power adapter for laptop",
            made="fire-proof polycarbonate | aluminium | recycled plastic",
            has="two ports | gallium nitride inside | folding pins | a status light"
            " | travel adapters",
            uses="laptops | travel | the bedside table | students",
            says="Half a battery in twenty-five minutes."
            " | One plug for the phone, the tablet and the laptop."
            " | Stays cool while it works.",
            sizes="20 W | 45 W | 65 W | 100 W",
            goes="charging cable | power bank",
        ),
        kind(
            "charging cable",
            "Power > Cables",
            (6, 45),
            nouns="USB-C cable | braided cable | three-in-one cable",
            asked="wire to connect my phone | cord for fast charging | long usb lead",
            made="braided nylon | recycled polyester | soft silicone",
            has="reinforced ends | a leather strap | a data rate of 10 Gbit/s | right-angle plugs",
            uses="the sofa | the car | the office | gaming while charging",
            says="Bent ten thousand times in the test, and still going."
            " | Does not tangle in a bag.",
            sizes="0.5 m | 1 m | 2 m | 3 m",
            goes="phone charger",
        ),
        kind(
            "power bank",
            "Power > Power Banks",
            (19, 150),
            nouns="power bank | magnetic battery pack | solar power bank",
            asked="portable battery | charge my phone on the go | energy for a festival",
            made="aluminium | recycled plastic | rubberised plastic",
            has="a charge display | two USB-C ports | a built-in cable | a torch"
            " | wireless charging",
            uses="festivals | long flights | hiking | laptops",
            says="Three full phone charges in a coat pocket."
            " | Allowed in hand luggage."
            " | Charges itself and the phone at the same time.",
            sizes="5,000 mAh | 10,000 mAh | 20,000 mAh",
            goes="charging cable | head torch",
        ),
        kind(
            "laptop sleeve",
            "Computer Accessories > Sleeves",
            (15, 120),
            nouns="laptop sleeve | notebook case | laptop folio",
            asked="bag for my computer | protect a notebook | soft pouch for a macbook-size laptop",
            made="wool felt | recycled neoprene | full-grain leather | waxed canvas",
            has="a cable pocket | a magnetic flap | a plush lining | a pen loop",
            uses="meetings | students | hot-desking | travel",
            says="Hugs the machine and adds no bulk. | The lining is softer than the sleeve looks.",
            sizes='13" | 14" | 16"',
            goes="keyboard | office backpack",
        ),
        kind(
            "keyboard",
            "Computer Accessories > Keyboards",
            (25, 260),
            nouns="mechanical keyboard | wireless keyboard | split keyboard",
            asked="something to type on | quiet keys for the office | ergonomic typing",
            made="aluminium | recycled plastic | bamboo and steel",
            has="hot-swap switches | a backlight | a palm rest | three Bluetooth channels | a dial",
            uses="writers | programmers | gaming | small desks",
            says="Every key can be given a new job."
            " | Quiet enough for a shared office."
            " | Your wrists will notice the angle by Friday.",
            sizes="60 % | 75 % | full size",
            goes="computer mouse | desk mat",
        ),
        kind(
            "computer mouse",
            "Computer Accessories > Mice",
            (12, 130),
            nouns="wireless mouse | vertical mouse | gaming mouse | travel mouse",
            asked="pointer for my laptop | mouse that does not hurt my wrist | silent clicking",
            made="recycled plastic | magnesium alloy | rubberised plastic",
            has="silent clicks | a tilting wheel | a charging dock | six buttons",
            uses="aching wrists | left-handers | gaming | travel",
            says="Works on glass and on a train table. | One charge lasts for three months.",
            goes="keyboard | desk mat",
        ),
        kind(
            "monitor stand",
            "Computer Accessories > Stands",
            (19, 190),
            nouns="monitor riser | laptop stand | screen stand",
            asked="raise my screen | hold a display at eye level | better posture at the desk",
            made="solid oak | aluminium | bent plywood | steel",
            has="a cable channel | a drawer | rubber feet | a phone slot",
            uses="home offices | video calls | shallow desks",
            says="Brings the screen to eye level and the neck back upright."
            " | Leaves room for the keyboard underneath.",
            goes="desk mat | desk lamp",
        ),
    ),
)
