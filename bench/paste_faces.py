"""A labeled folder of pictures larger than faces: the first faces of PublicTest, enlarged, somewhere on a larger picture.

/usr/bin/python3 bench/paste_faces.py fer2013.csv OUT [FACES] [SIDE] [WIDTH] [HEIGHT]

Writes OUT/CLASS/ROW.pgm. The face is enlarged bilinearly to SIDE pixels and stands at a random place; what is around it
repeats the face's edge, so the picture has no frame that a detector could take for one. Needs python3-numpy.
"""
import csv
import sys
from pathlib import Path

import numpy

CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def enlarged(face, side):
    places = (numpy.arange(side) + 0.5) * face.shape[0] / side - 0.5
    low = numpy.clip(numpy.floor(places).astype(int), 0, face.shape[0] - 1)
    high = numpy.minimum(low + 1, face.shape[0] - 1)
    share = numpy.clip(places - low, 0, 1)
    rows = face[low] * (1 - share)[:, None] + face[high] * share[:, None]
    return rows[:, low] * (1 - share) + rows[:, high] * share


def main():
    count, side, width, height = (int(value) for value in (sys.argv[3:] + ["700", "192", "640", "480"][len(sys.argv) - 3:]))
    random = numpy.random.default_rng(0)
    csv.field_size_limit(1 << 20)
    with open(sys.argv[1], newline="") as file:
        rows = [(i, row) for i, row in enumerate(csv.DictReader(file)) if row["Usage"].strip() == "PublicTest"][:count]
    for number, row in rows:
        face = enlarged(numpy.array(row["pixels"].split(), dtype=float).reshape(48, 48), side)
        top, left = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
        picture = numpy.pad(face, ((top, height - side - top), (left, width - side - left)), mode="edge")
        folder = Path(sys.argv[2]) / CLASSES[int(row["emotion"])]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = numpy.clip(picture + 0.5, 0, 255).astype(numpy.uint8)
        (folder / f"{number}.pgm").write_bytes(b"P5\n%d %d\n255\n" % (width, height) + pixels.tobytes())


if __name__ == "__main__":
    main()
