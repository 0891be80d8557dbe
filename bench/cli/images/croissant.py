"""A choice of images as Croissant metadata (MLCommons, format 1.0): what the table of indices beside it holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.engine.images.subset import CellData

#: the names that Croissant's own terms have in the document
CONTEXT = {
    "@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/", "dct": "http://purl.org/dc/terms/", "conformsTo": "dct:conformsTo",
    "citeAs": "cr:citeAs", "column": "cr:column", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "extract": "cr:extract", "field": "cr:field",
    "fileObject": "cr:fileObject", "recordSet": "cr:recordSet", "source": "cr:source",
}  # fmt: skip
#: column of the table -> type and meaning
FIELDS = {
    "split": ("sc:Text", "train, or a test split: long-tailed, balanced"),
    "index": ("sc:Integer", "which image of the source's own split, from 0"),
    "class_index": ("sc:Integer", "class, from the most to the least frequent"),
    "native_label": ("sc:Integer", "the source's own label"),
    "class_name": ("sc:Text", "name of the class"),
    "subset_hash": ("sc:Text", "hash of the whole choice"),
}


def croissant(table: Path, content: bytes, data: CellData, choice: Mapping[str, Any]) -> bytes:
    """The metadata of the table of indices `content`, which lies beside it as `table`."""
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in choice.items() if value is not None)
    document = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"{choice['dataset']}-{data.subset_hash}".replace(":", "-").replace("/", "-"),
        "version": "1.0.0",
        "description": f"Which images of {data.source} a long-tailed benchmark uses: {told}. Images {data.data_hash}, "
        f"choice {data.subset_hash}; training images a class {', '.join(map(str, data.train_counts))}. "
        "The images are the source's, and under its licence.",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "indices",
                "name": "indices",
                "contentUrl": table.name,
                "encodingFormat": "text/csv",
                "contentSize": f"{len(content)} B",
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "images",
                "name": "images",
                "field": [
                    {
                        "@type": "cr:Field",
                        "@id": f"images/{name}",
                        "name": name,
                        "description": meaning,
                        "dataType": kind,
                        "source": {"fileObject": {"@id": "indices"}, "extract": {"column": name}},
                    }
                    for name, (kind, meaning) in FIELDS.items()
                ],
            }
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"
