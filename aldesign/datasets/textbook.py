"""Solids of the textbooks in the structures that they have, and metals beside them."""

from __future__ import annotations

from functools import cache

from aldesign.datasets.families import families
from aldesign.datasets.substitutions import Idea, idea

# Elements in the order of the roles of the family: cations A, B, C, then anions X, Y.
_SOLIDS = """
diamond: Si; C; Ge
zincblende: Si C; B N; B P; B As; Al P; Al As; Al Sb; Ga P; Ga As; Ga Sb; In P; In As; In Sb
zincblende: Zn S; Zn Se; Zn Te; Cd S; Cd Se; Cd Te; Be S; Be Se; Be Te; Mg Te; Hg Se; Hg Te; Cu Cl; Cu Br; Cu I; Ag I
wurtzite: Al N; Ga N; In N; Zn O; Be O; Cd S; Zn S; Si C
rocksalt: Mg O; Mg S; Mg Se; Ca O; Ca S; Ca Se; Ca Te; Sr O; Sr S; Sr Se; Sr Te; Ba O; Ba S; Ba Se; Ba Te; Cd O
rocksalt: Li F; Li Cl; Li Br; Li I; Li H; Na F; Na Cl; Na Br; Na I; Na H; K F; K Cl; K Br; K I; K H; Rb F; Rb Cl
rocksalt: Rb Br; Rb I; Cs F; Ag F; Ag Cl; Ag Br; Pb S; Pb Se; Pb Te; Sn Te; Ge Te; Sc N; Y N; La N; Sc P; Y P
caesium chloride: Cs Cl; Cs Br; Cs I; Tl Cl; Tl Br; Tl I
fluorite: Ca F; Sr F; Ba F; Cd F; Pb F; Hg F; Zr O; Hf O; Sr Cl; Ba Cl
antifluorite: Li O; Na O; K O; Rb O; Li S; Na S; K S; Li Se; Na Se; Li Te; Na Te; K Te; Be C; Mg Si; Mg Ge; Mg Sn
rutile: Ti O; Sn O; Ge O; Si O; Pb O; Mg F; Zn F; Mg H
anatase: Ti O
cuprite: Cu O; Ag O
litharge: Pb O; Sn O
cooperite: Pt S; Pd O; Pt O
cinnabar: Hg S; Hg O
germanium sulfide: Ge S; Ge Se; Sn S; Sn Se
molybdenite: Mo S; Mo Se; Mo Te; W S; W Se
cadmium iodide: Cd I; Mg Br; Mg I; Ca I; Pb I; Sn S; Sn Se; Zr S; Zr Se; Hf S; Hf Se; Ti S; Ti Se; Pt S; Pt Se; Pt Te
cadmium iodide: Mg Cl; Zn I
marcasite: Fe S; Fe Se; Fe Te; Fe P; Fe As; Fe Sb; Ru P; Ru As; Ru Sb; Os P; Os As; Os Sb; Os S
cristobalite: Si O; Be F; Ge O
silicon sulfide: Si S; Be Cl
mercury bromide: Hg Br; Hg Cl; Hg I
boron nitride: B N
perovskite: Sr Ti O; Ba Ti O; Pb Ti O; Ca Ti O; K Ta O; K Nb O; Na Nb O; Na Ta O; Sr Zr O; Ba Zr O; Ba Hf O; Ba Sn O
perovskite: La Al O; La Ga O; Bi Sc O; K Mg F; K Zn F; Rb Ca F; Cs Ca F; Cs Pb I; Cs Pb Br; Cs Pb Cl; Cs Sn I; Cs Sn Br
perovskite: Cs Sn Cl; Cs Ge I; Cs Ge Br; Cs Ge Cl; Rb Pb I; Cs Cd Cl; Cs Hg Cl; Ag Mg F; Ba Li F; Ba Li H; Sr Li H
perovskite: La Rh O; La Co O; K Cd F; Cs Ca Br
tetragonal perovskite: Pb Ti O; Ba Ti O; K Nb O
half-Heusler: Li Zn P; Li Zn As; Li Zn N; Li Mg N; Li Mg P; Li Mg As; Li Cd P; Li Zn Sb; Ag Mg As; Cu Mg As; Na Zn P
half-Heusler, cation in the centre: Ti Ni Sn; Zr Ni Sn; Hf Ni Sn; Ti Co Sb; Zr Co Sb; Hf Co Sb; V Fe Sb; Nb Fe Sb
half-Heusler, cation in the centre: Ta Fe Sb; Nb Co Sn; Ta Co Sn; Sc Ni Sb; Y Ni Sb; Sc Pd Sb; Y Pd Sb; Sc Pt Sb
half-Heusler, cation in the centre: Y Pt Sb
half-Heusler, cation in the centre: Zr Pd Sn; Hf Pd Sn; Ti Pt Sn; Zr Pt Sn; Zr Ir Sb; Ti Rh Sb; Zr Rh Sb; Hf Rh Sb
half-Heusler, cation in the centre: Nb Ru Sb
half-Heusler, cation in the centre: Ta Ru Sb; Nb Rh Sn; Ta Ir Sn; Zr Co Bi; V Co Ge; Ti Fe Te; Y Ni Bi; Nb Os Sb
half-Heusler, cation in the centre: Ta Os Sb
full Heusler: Fe V Al; Fe V Ga; Fe Ta Al
matlockite: Pb Cl F; Ba Cl F; Ba Br F; Ba I F; Sr Cl F; Bi Cl O; Bi Br O; Bi I O; La Cl O; La Br O
lithium borocarbide: Li B C
chalcopyrite: Cu Ga S; Cu In S; Cu In Se; Cu Ga Se; Cu Al S; Cu In Te; Ag Ga S; Ag Ga Se; Ag In Se; Zn Ge P; Zn Si P
chalcopyrite: Cd Ge P
chalcopyrite: Zn Sn P; Zn Ge As; Cd Ge As; Cd Sn P
delafossite: Cu Al O; Cu Ga O; Cu In O; Cu Sc O; Cu Y O; Cu La O; Ag Al O; Ag Ga O; Ag In O
sodium chromium sulfide: Li Co O; Na Al O; Na In O; Na Sc O; Tl Bi Te; Tl Bi Se; Tl Sb Te; Na Bi S; Li Rh O; Na La S
lithium nitride: Li N
bismuth fluoride: Li Bi; Cs Sb; Li Sb
sodium arsenide: Na As; Na P; Na Sb; K As; K Sb; K Bi
rhenium oxide: W O; Al F; Sc F
copper nitride: Cu N
aluminium fluoride: Al F; Ga F; Sc F
bismuth iodide: Bi I; Sb I; Sc Cl; Y I
lanthanum oxide: La O; Bi O
magnesium bismuthide: Mg Sb; Mg Bi; Mg P; Mg As
bismuth telluride: Bi Te; Bi Se; Sb Te
tetradymite: Bi Se Te; Bi S Te
silicon fluoride: Si F; Ge F; C F
lanthanum oxysulfide: La S O; Y S O; La Se O; La Te O
calcium aluminium silicide: Ca Al Si; Ca Zn Sb; Ca Mg Sb; Ca Zn P; Sr Zn As; Mg Mg Sb; Ca Cd As; Sr Cd As; Ba Cd P
boron phosphate: B P O; B As O; Al P O
potassium nickel fluoride: Sr Ti O; Ba Zr O; K Mg F; K Zn F; Cs Pb I; La Pd O; Sr Sn O
sulvanite: Cu V S; Cu Nb S; Cu Ta S; Cu Ta Se; Cu Ta Te; Cu P S; Cu As S; Cu Sb S; Tl V S
zirconium copper silicide arsenide: La Cu S O; La Cu Se O; Bi Cu Se O; La Ag S O; La Zn P O
stannite: Cu Zn Sn S; Cu Zn Sn Se; Cu Zn Ge S; Cu Cd Sn S
antiperovskite: Mg N As; Mg N Sb; Ca N P; Ca N As; Ca N Sb; Ca N Bi; Li O Cl; Li O Br; Na O Br; Na O I; Ca O Si; Ca O Ge
calcium boride: Ca B; Sr B; Ba B
selenium: Se; Te
grey arsenic: As; Sb; Bi
black phosphorus: P
"""
_METALS = """
rutile: Ru O; Ir O; Os O; V O
cadmium iodide: Ir Te; Pd Te
molybdenum silicide: Mo Si; W Si
nickel arsenide: Pt Sb; Ir Sb
sodium thallide: Na Tl; Li Al; Na In; Li Ga; Li Zn; Li Cd
perovskite: Sr V O; Na W O; Sr Ru O
potassium nickel fluoride: Sr Ru O
molybdenite: Nb S; Ta S
delafossite: Pd Co O; Pt Co O
rhenium oxide: Re O
calcium boride: La B; Y B
fluorite: Sc H; Y H
antifluorite: Mg Pb
face-centred cubic: Al; Cu; Ag; Au; Ca; Sr; Pb; Pd; Pt; Rh; Ir
rocksalt: Ti C; Zr C; Hf C; V C; Nb C; Ta C; Ti N; Zr N; Hf N; V N; Nb N; Ta N; Sn As; Sn Sb
tungsten carbide: W C; Mo C; Ta N; Os B
aluminium boride: Mg B; Al B; Ti B; Zr B; Hf B; V B; Nb B; Ta B; Sc B
caesium chloride: Cu Zn; Al Ru; Ag Mg; Y Ag; Ag Zn; Au Zn; Y Cu; Sc Ru; Al Os; Be Cu; Be Pd; Li Hg; Mg Tl; Sc Rh; Ca Tl
copper gold: Au Cu; Al Sc; Ca Pb; Sn Ca; In La; Al Y; Rh Hf
antifluorite: Al Au; Ga Au; In Au; Al Pt; Ga Pt; Sn Pt; Be B
Laves phase: Al Ca; Al Y; Zn Mg; Bi Rb; Ir Zr; Al La; Au Bi
"""
_MAGNETS = """
cadmium iodide: Ni Te
nickel arsenide: Ni As
rocksalt: Mn O; Ni O; Fe O; Co O; Cr N
perovskite: K Mn F; K Ni F; Sr Mn O; La Cr O
zincblende: Mn S; Mn Se
fluorite: Co Si; Ni Si
caesium chloride: Al Ni; Ti Fe; Al Co
rutile: Cr O; Fe F; Mn F
"""


@cache
def textbook_solids() -> tuple[Idea, ...]:
    """Return the solids, each once: insulators and semiconductors, then metals, then magnets, as they are known."""
    return tuple({one.name: one for table in (_SOLIDS, _METALS, _MAGNETS) for one in _read(table)}.values())


@cache
def textbook_metals() -> frozenset[str]:
    """Return the names of the textbook solids that are metals."""
    return frozenset(one.name for one in _read(_METALS))


def _read(table: str) -> list[Idea]:
    known = families()
    found = []
    for line in filter(None, table.split("\n")):
        name, solids = line.rsplit(": ", 1)
        found += [idea(known[name], symbols.split()) for symbols in solids.split("; ")]
    return found
