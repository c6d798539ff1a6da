#pragma once
/// Prediction with weights that Mien trained, for programs in C and every language that can call C. Needs nothing but
/// libmien_infer.so: neither libtorch nor OpenCV. All functions may be called from several threads at once, with one
/// model or with several; each call computes on the thread that makes it.

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(MIEN_INFER_BUILD)
#define MIEN_INFER_API __attribute__((visibility("default")))
#else
#define MIEN_INFER_API
#endif

/// A network with its weights, its normalization and the names of its classes.
typedef struct MienModel MienModel;

/// Reads a weights file (safetensors, as `mien train` writes it). NULL if it cannot be read; mien_infer_last_error says
/// why. Free the result by mien_infer_free.
MIEN_INFER_API MienModel* mien_infer_load(const char* path);

/// Writes the probability of every class for `count` faces to `probabilities` [count, classes]. `faces` [count,
/// channels, height, width] are gray levels from 0 to 255. Returns 0, or 1 if it failed.
MIEN_INFER_API int mien_infer_predict(const MienModel* model,
                                      const uint8_t* faces,
                                      int64_t count,
                                      float* probabilities);

/// The same with the logits, from which a softmax makes the probabilities. Where the weights carry a temperature (`mien
/// calibrate`), the logits are divided by it first.
MIEN_INFER_API int mien_infer_logits(const MienModel* model, const uint8_t* faces, int64_t count, float* logits);

/// What a face has to be, and the number of classes.
MIEN_INFER_API int64_t mien_infer_channels(const MienModel* model);
MIEN_INFER_API int64_t mien_infer_height(const MienModel* model);
MIEN_INFER_API int64_t mien_infer_width(const MienModel* model);
MIEN_INFER_API int64_t mien_infer_classes(const MienModel* model);

/// The name of class `index`, UTF-8; NULL if there is no such class. Lives as long as the model.
MIEN_INFER_API const char* mien_infer_class_name(const MienModel* model, int64_t index);

/// Frees a model that no other thread uses; NULL is fine.
MIEN_INFER_API void mien_infer_free(MienModel* model);

/// Why the last call on this thread failed, in one line; empty if it did not. Valid until the next call.
MIEN_INFER_API const char* mien_infer_last_error(void);

#ifdef __cplusplus
}
#endif
