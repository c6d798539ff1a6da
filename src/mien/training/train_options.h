#pragma once

#include <cstdint>
#include <string>

#include "mien/core/options.h"
#include "mien/data/class_weights.h"
#include "mien/network/normalization.h"

namespace mien::training {

/// What is minimized.
struct LossOptions {
  double label_smoothing = 0;
  double distill_temperature = 4;  ///< only with a teacher
  double distill_weight = 0.5;     ///< share of the teacher in the loss
  void bind(OptionSet& options);
};

/// How parameters move.
struct OptimizerOptions {
  std::string optimizer = "adam";
  double learning_rate = 1e-3;
  double momentum = 0.9;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double optimizer_epsilon = 1e-8;
  double weight_decay = 0;
  double clip_grad = 0;
  double ema_decay = 0;
  int64_t renew_batches = 0;
  void bind(OptionSet& options);
};

/// How the learning rate changes.
struct ScheduleOptions {
  std::string schedule = "constant";
  double warmup_epochs = 0;
  int64_t decay_epochs = 10;
  double decay_rate = 0.5;
  int64_t plateau_patience = 5;
  double minimum_rate = 1e-6;
  void bind(OptionSet& options);
};

/// How long, in what order and until when.
struct LoopOptions {
  int64_t epochs = 50;
  int64_t batch_size = 128;
  int64_t seed = 0;
  int64_t patience = 0;
  double time_minutes = 0;
  std::string keep = "best";
  std::string normalize = "scale";
  std::string device = "auto";
  bool fuse = true;
  std::string precision = "float32";
  void bind(OptionSet& options);
};

/// The kind that `normalize` names: "scale", "per-image" or "dataset".
network::Normalization::Kind normalization_kind(const std::string& name);

struct TrainOptions {
  LoopOptions loop;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  LossOptions loss;
  data::ClassWeightOptions classes;
  void bind(OptionSet& options) {
    loop.bind(options);
    optimizer.bind(options);
    schedule.bind(options);
    loss.bind(options);
    classes.bind(options);
  }
};

}  // namespace mien::training
