"""Reads gray levels, one byte a pixel, from standard input and prints the probability of every class.

python3 example.py < face.gray
"""
import ctypes
import pathlib
import sys

here = pathlib.Path(__file__).resolve().parent
library = ctypes.CDLL(str(here / "libmien_infer.so.0"))
library.mien_infer_load.restype = ctypes.c_void_p
library.mien_infer_last_error.restype = library.mien_infer_class_name.restype = ctypes.c_char_p
for size in (library.mien_infer_channels, library.mien_infer_height, library.mien_infer_width, library.mien_infer_classes):
    size.restype = ctypes.c_int64
    size.argtypes = [ctypes.c_void_p]
library.mien_infer_class_name.argtypes = [ctypes.c_void_p, ctypes.c_int64]
library.mien_infer_predict.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64, ctypes.c_void_p]
library.mien_infer_free.argtypes = [ctypes.c_void_p]

model = library.mien_infer_load(str(here / "weights.safetensors").encode())
if not model:
    sys.exit(library.mien_infer_last_error().decode())
classes = library.mien_infer_classes(model)
face_size = library.mien_infer_channels(model) * library.mien_infer_height(model) * library.mien_infer_width(model)
faces = sys.stdin.buffer.read()
if not faces or len(faces) % face_size:
    sys.exit(f"expected a multiple of {face_size} bytes, found {len(faces)}")
count = len(faces) // face_size
probabilities = (ctypes.c_float * (count * classes))()
if library.mien_infer_predict(model, faces, count, probabilities):
    sys.exit(library.mien_infer_last_error().decode())
names = [library.mien_infer_class_name(model, i).decode() for i in range(classes)]
for face in range(count):
    print("  ".join(f"{name} {probabilities[face * classes + i]:.6f}" for i, name in enumerate(names)))
library.mien_infer_free(model)
