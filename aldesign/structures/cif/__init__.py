"""Crystals from and to files: JSON lines and CIF, every file written is read again before it counts."""

from aldesign.structures.cif.checks import overlap
from aldesign.structures.cif.reading import read_cif, read_cifs
from aldesign.structures.cif.records import formula_of, from_pymatgen, from_record, read_jsonl, to_pymatgen
from aldesign.structures.cif.writing import write_cif

__all__ = [
    "formula_of",
    "from_pymatgen",
    "from_record",
    "overlap",
    "read_cif",
    "read_cifs",
    "read_jsonl",
    "to_pymatgen",
    "write_cif",
]
