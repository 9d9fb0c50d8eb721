"""departments/: one module of words per department -> DEPARTMENTS, in the shop's order."""

from service.demo.departments.appliances import APPLIANCES
from service.demo.departments.audio import AUDIO
from service.demo.departments.beauty import BEAUTY
from service.demo.departments.bedroom import BEDROOM
from service.demo.departments.clothing import CLOTHING
from service.demo.departments.computing import COMPUTING
from service.demo.departments.cycling import CYCLING
from service.demo.departments.fitness import FITNESS
from service.demo.departments.furniture import FURNITURE
from service.demo.departments.garden import GARDEN
from service.demo.departments.kitchen import KITCHEN
from service.demo.departments.office import OFFICE
from service.demo.departments.outdoor import OUTDOOR
from service.demo.departments.pets import PETS
from service.demo.departments.tools import TOOLS
from service.demo.departments.toys import TOYS

DEPARTMENTS = (
    OUTDOOR,
    CLOTHING,
    FITNESS,
    CYCLING,
    KITCHEN,
    APPLIANCES,
    COMPUTING,
    AUDIO,
    BEDROOM,
    FURNITURE,
    GARDEN,
    TOOLS,
    TOYS,
    PETS,
    BEAUTY,
    OFFICE,
)
