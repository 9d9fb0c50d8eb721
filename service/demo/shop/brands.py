"""brands.py: the invented brands of the demo shop -> Brand."""

from typing import NamedTuple

from service.demo.shop.vocabulary import words


class Brand(NamedTuple):
    """A brand: how dear it is (0 to 1), the looks it favours, and where it sells."""

    name: str
    level: float
    styles: tuple[str, ...]
    departments: tuple[str, ...]


DEPARTMENT_OF = {
    "out": "Outdoor & Camping",
    "clo": "Clothing & Shoes",
    "fit": "Running & Fitness",
    "cyc": "Cycling",
    "kit": "Kitchen & Dining",
    "app": "Home Appliances",
    "com": "Phones & Computing",
    "aud": "Audio & Photo",
    "bed": "Bed & Bath",
    "fur": "Furniture & Lighting",
    "gar": "Garden & Patio",
    "too": "Tools & DIY",
    "toy": "Toys & Baby",
    "pet": "Pet Supplies",
    "bea": "Beauty & Care",
    "off": "Office & Travel",
}


def brand(name: str, level: float, styles: str, departments: str) -> Brand:
    return Brand(
        name, level, words(styles), tuple(DEPARTMENT_OF[short] for short in departments.split())
    )


BRANDS = (
    brand("Fjellvarg", 0.75, "technical | minimal", "out clo fit"),
    brand("Tarnmoor", 0.5, "classic | natural", "out clo gar"),
    brand("Hollowpeak", 0.3, "bold | technical", "out cyc fit"),
    brand("Oakenfell", 0.45, "natural | classic", "out gar fur"),
    brand("Skarnhill", 0.85, "technical | luxury", "out clo cyc"),
    brand("Pipistrel Lane", 0.35, "playful | retro", "clo bed toy"),
    brand("Nordhavet", 0.6, "minimal | natural", "clo bed off"),
    brand("Wrenfold & Daughters", 0.7, "classic | luxury", "clo bed off"),
    brand("Budgeroo", 0.1, "playful | bold", "clo toy off out"),
    brand("Mossbarrow", 0.4, "natural | retro", "clo out pet"),
    brand("Stridelo", 0.55, "technical | bold", "fit clo"),
    brand("Loopanka", 0.7, "technical | minimal", "fit cyc aud"),
    brand("Pulsandro", 0.25, "bold | playful", "fit cyc"),
    brand("Asanelle", 0.5, "natural | minimal", "fit bea"),
    brand("Ironwick", 0.4, "minimal | retro", "fit too"),
    brand("Velomira", 0.65, "retro | classic", "cyc"),
    brand("Spokesmith", 0.35, "minimal | technical", "cyc too"),
    brand("Cadenzio", 0.85, "luxury | technical", "cyc fit"),
    brand("Rattlebrook", 0.15, "bold | natural", "cyc out gar"),
    brand("Copperlark", 0.75, "classic | luxury", "kit app"),
    brand("Tablewise", 0.2, "minimal | playful", "kit fur"),
    brand("Maison Querelle", 0.9, "luxury | classic", "kit bed bea"),
    brand("Saltgrove", 0.5, "natural | minimal", "kit bea bed"),
    brand("Umbertini", 0.65, "retro | bold", "kit app"),
    brand("Hobb & Fennel", 0.4, "retro | classic", "kit app gar"),
    brand("Voltaine", 0.55, "technical | minimal", "app aud com"),
    brand("Kettlewright", 0.45, "classic | retro", "app kit"),
    brand("Brevannio", 0.85, "luxury | minimal", "app kit"),
    brand("Zapperoo", 0.15, "bold | playful", "app com aud"),
    brand("Aerolith", 0.7, "technical | minimal", "app fur com"),
    brand("Nimbrel", 0.6, "minimal | technical", "com aud off"),
    brand("Taplark", 0.2, "minimal | bold", "com off"),
    brand("Quillon Digital", 0.8, "technical | luxury", "com aud"),
    brand("Pixelotta", 0.35, "playful | retro", "com toy off"),
    brand("Fernlink", 0.45, "natural | minimal", "com off app"),
    brand("Sonorelle", 0.8, "luxury | retro", "aud"),
    brand("Boomfinch", 0.3, "bold | playful", "aud out"),
    brand("Larkvale Audio", 0.6, "classic | technical", "aud"),
    brand("Shutterby", 0.5, "retro | technical", "aud off"),
    brand("Dovecote Linen", 0.6, "natural | classic", "bed"),
    brand("Slumberfoot", 0.3, "playful | minimal", "bed pet"),
    brand("Lunavelle", 0.85, "luxury | minimal", "bed bea"),
    brand("Tuckaway", 0.2, "minimal | natural", "bed fur off"),
    brand("Haldersund", 0.65, "minimal | natural", "fur bed kit"),
    brand("Plank & Plover", 0.5, "natural | retro", "fur kit toy"),
    brand("Orvello", 0.9, "luxury | bold", "fur"),
    brand("Fifthroom", 0.35, "retro | bold", "fur off"),
    brand("Flatbee", 0.12, "playful | minimal", "fur gar"),
    brand("Greenthimble", 0.45, "natural | classic", "gar pet"),
    brand("Thornby & Rake", 0.7, "classic | technical", "gar too"),
    brand("Patiola", 0.25, "bold | playful", "gar kit"),
    brand("Rosenquill", 0.6, "luxury | natural", "gar bea"),
    brand("Hartzmann Werk", 0.75, "technical | minimal", "too gar"),
    brand("Boltwell", 0.3, "bold | technical", "too"),
    brand("Gritstone Tools", 0.5, "classic | technical", "too out"),
    brand("Fixaroo", 0.12, "playful | bold", "too cyc"),
    brand("Oldbench", 0.6, "retro | classic", "too fur"),
    brand("Tumbletree", 0.45, "natural | playful", "toy"),
    brand("Little Otterly", 0.6, "playful | classic", "toy bed"),
    brand("Snugabee", 0.25, "playful | bold", "toy pet"),
    brand("Kinderholt", 0.75, "natural | minimal", "toy fur"),
    brand("Mirabeck", 0.85, "luxury | technical", "toy off"),
    brand("Barkenby", 0.5, "classic | natural", "pet"),
    brand("Whiskerby", 0.3, "playful | retro", "pet"),
    brand("Pawsley & Co", 0.65, "luxury | classic", "pet"),
    brand("Furrow", 0.4, "natural | minimal", "pet gar"),
    brand("Petalume", 0.55, "natural | luxury", "bea"),
    brand("Sudsworth", 0.2, "playful | retro", "bea bed"),
    brand("Verdelac", 0.8, "minimal | technical", "bea"),
    brand("Barberton Row", 0.5, "classic | retro", "bea off"),
    brand("Inkhaven", 0.5, "classic | retro", "off"),
    brand("Passeport Nord", 0.75, "minimal | luxury", "off clo"),
    brand("Wayfarling", 0.4, "natural | bold", "off out"),
)
