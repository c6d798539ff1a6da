"""Milliseconds that libmien_infer takes for one face and for a batch, on one thread.

python3 bench/infer_bench.py build/lib/libmien_infer.so WEIGHTS.safetensors
"""
import ctypes
import json
import os
import statistics
import sys
import time

library = ctypes.CDLL(os.path.abspath(sys.argv[1]))
library.mien_infer_load.restype = ctypes.c_void_p
library.mien_infer_last_error.restype = ctypes.c_char_p
library.mien_infer_predict.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64, ctypes.c_void_p]
for size in (library.mien_infer_channels, library.mien_infer_height, library.mien_infer_width, library.mien_infer_classes):
    size.restype = ctypes.c_int64
    size.argtypes = [ctypes.c_void_p]
model = library.mien_infer_load(sys.argv[2].encode())
if not model:
    sys.exit(library.mien_infer_last_error().decode())
values = library.mien_infer_channels(model) * library.mien_infer_height(model) * library.mien_infer_width(model)
probabilities = (ctypes.c_float * (64 * library.mien_infer_classes(model)))()


def median_ms(count, runs):
    faces = os.urandom(count * values)
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        library.mien_infer_predict(model, faces, count, probabilities)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


median_ms(1, 20)
print(json.dumps({"ms_one_face": median_ms(1, 300), "ms_a_face_of_64": median_ms(64, 15) / 64,
                  "bytes": os.path.getsize(os.path.realpath(sys.argv[1]))}))
