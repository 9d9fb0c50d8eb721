"""styles.py: the eight looks of the demo shop -> Style, told by series names, colours, lines."""

from typing import NamedTuple

from service.demo.shop.vocabulary import words


class Style(NamedTuple):
    """A look that runs through all departments; shoppers have a liking for one or two."""

    name: str
    series: tuple[str, ...]  # product lines whose names carry the look
    colours: tuple[str, ...]
    openings: tuple[str, ...]  # adjectives that fit any kind, for the first sentence
    says: tuple[str, ...]


def style(name: str, series: str, colours: str, openings: str, says: str) -> Style:
    return Style(name, words(series), words(colours), words(openings), words(says))


STYLES = (
    style(
        "minimal",
        "Essential | Mono | Plain | Basic | Pure | Still",
        "black | white | stone grey | charcoal | off-white | graphite",
        "pared-back | simple | quiet | understated",
        "Nothing on it that you do not need. | A calm, minimal look without logos."
        " | Reduced to what matters.",
    ),
    style(
        "classic",
        "Heritage | Original | Classic | Windsor | Tradition | Chester",
        "navy | burgundy | bottle green | chestnut | camel | dark brown",
        "classic | timeless | traditional | well-mannered",
        "A classic that will look right in ten years. | Made the traditional way."
        " | A timeless design that our grandparents would recognise.",
    ),
    style(
        "bold",
        "Neon | Pop | Loud | Flash | Riot | Spark",
        "signal orange | cobalt blue | hot pink | lime | electric yellow | scarlet",
        "bold | striking | eye-catching | unmissable",
        "Bold on purpose. | For people who do not mind being noticed."
        " | A loud statement in a grey street.",
    ),
    style(
        "natural",
        "Terra | Moss | Wild | Field | Root | Meadow",
        "oat | moss green | clay | sand | terracotta | hemp",
        "honest | natural | earthy | down-to-earth",
        "Sent in recycled paper, without a plastic bag."
        " | Natural through and through, from source to wrapping."
        " | Climate-friendly, and made to be repaired or refilled.",
    ),
    style(
        "technical",
        "Pro | Tech | XT | Carbon | Core | Apex",
        "carbon black | gunmetal | silver | ice blue | slate | black and red",
        "high-performance | precise | no-compromise | technical",
        "Developed with professionals and tested in the lab."
        " | Engineered to the last detail. | Technical in every part, with no gram wasted.",
    ),
    style(
        "playful",
        "Happy | Dot | Fiesta | Smile | Jolly | Confetti",
        "sky blue with dots | coral | sunny yellow | mint | striped pink | rainbow",
        "cheerful | playful | merry | light-hearted",
        "Puts a smile on a Monday. | Playful, cheerful and a bit silly."
        " | Because useful things may be fun.",
    ),
    style(
        "retro",
        "Retro | Diner | Seventy-Four | Vinyl | Rollerway | Arcade",
        "mustard | teal | cream | avocado green | rust | powder pink",
        "retro | nostalgic | vintage-style | old-school",
        "Looks like 1974, works like today. | Vintage charm without the flea market."
        " | A nod to the seventies in shape and colour.",
    ),
    style(
        "luxury",
        "Reserve | Signature | Atelier | Grand | Maison | Opus",
        "ivory | midnight blue | champagne | pearl | deep emerald | black and gold",
        "luxurious | elegant | refined | exquisite",
        "Finished by hand in a small workshop. | A little luxury for every single day."
        " | Comes in a gift box lined with tissue.",
    ),
)
