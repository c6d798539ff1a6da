#include "mien/infer/mien_infer.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <string>

#include "mien/core/error.h"
#include "mien/infer/model.h"

struct MienModel {
  mien::infer::Model model;
};

namespace {

thread_local std::string last_error;

/// `action`'s result; `failed` after an exception, whose words are kept.
template <class Result, class Action>
Result guarded(Result failed, const Action& action) noexcept {
  try {
    last_error.clear();
    return action();
  } catch (const mien::Error& error) {
    last_error = error.line();
  } catch (const std::exception& error) {
    last_error = error.what();
  }
  return failed;
}

void check_arguments(const MienModel* model, const uint8_t* faces, int64_t count, const float* out) {
  if (model == nullptr) mien::throw_usage("the model is NULL");
  if (count < 0) mien::throw_usage("the number of faces is negative");
  if (count > 0 && (faces == nullptr || out == nullptr)) mien::throw_usage("faces or output are NULL");
}

void softmax(float* scores, int64_t classes, double temperature) {
  const float largest = *std::max_element(scores, scores + classes);
  double sum = 0;
  for (int64_t i = 0; i < classes; ++i)
    sum += scores[i] = static_cast<float>(std::exp((scores[i] - largest) / temperature));
  for (int64_t i = 0; i < classes; ++i) scores[i] = static_cast<float>(scores[i] / sum);
}

}  // namespace

extern "C" {

MienModel* mien_infer_load(const char* path) {
  return guarded<MienModel*>(nullptr, [&] {
    if (path == nullptr) mien::throw_usage("the path is NULL");
    return new MienModel{mien::infer::Model(path)};
  });
}

int mien_infer_logits(const MienModel* model, const uint8_t* faces, int64_t count, float* logits) {
  return guarded(1, [&] {
    check_arguments(model, faces, count, logits);
    model->model.logits(faces, count, logits);
    return 0;
  });
}

int mien_infer_predict(const MienModel* model, const uint8_t* faces, int64_t count, float* probabilities) {
  if (const int status = mien_infer_logits(model, faces, count, probabilities); status != 0) return status;
  const int64_t classes = model->model.graph().classes();
  for (int64_t i = 0; i < count; ++i) softmax(probabilities + i * classes, classes, model->model.temperature());
  return 0;
}

int64_t mien_infer_channels(const MienModel* model) { return model->model.graph().input_shape().channels; }
int64_t mien_infer_height(const MienModel* model) { return model->model.graph().input_shape().height; }
int64_t mien_infer_width(const MienModel* model) { return model->model.graph().input_shape().width; }
int64_t mien_infer_classes(const MienModel* model) { return model->model.graph().classes(); }

const char* mien_infer_class_name(const MienModel* model, int64_t index) {
  const auto& names = model->model.class_names();
  return index < 0 || index >= static_cast<int64_t>(names.size()) ? nullptr : names[static_cast<size_t>(index)].c_str();
}

void mien_infer_free(MienModel* model) { delete model; }

const char* mien_infer_last_error(void) { return last_error.c_str(); }

}  // extern "C"
