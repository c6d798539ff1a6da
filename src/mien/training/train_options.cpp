#include "mien/training/train_options.h"

namespace mien::training {

void LoopOptions::bind(OptionSet& options) {
  options.group("train");
  options.add(&epochs,
              {.name = "epochs",
               .help = "passes over the training rows",
               .unit = "epochs",
               .minimum = 1,
               .maximum = 100000,
               .level = OptionLevel::common});
  options.add(&batch_size,
              {.name = "batch-size",
               .help = "faces per step",
               .unit = "faces",
               .minimum = 1,
               .maximum = 65536,
               .level = OptionLevel::common});
  options.add(&seed,
              {.name = "seed",
               .help = "seed of weights, order, augmentation and dropout; a run with the same seed and threads gives "
                       "the same bytes",
               .minimum = 0,
               .level = OptionLevel::common});
  options.add(
      &patience,
      {.name = "patience",
       .help = "stop when validation accuracy has not improved for this many epochs; 0 never stops early; needs --keep "
               "best",
       .unit = "epochs",
       .minimum = 0,
       .level = OptionLevel::common,
       .only_with = {{"validation", "!none"}}});
  options.add(&time_minutes,
              {.name = "max-time",
               .help = "stop before the epoch that would exceed this budget; 0 has no limit",
               .unit = "minutes",
               .minimum = 0,
               .aliases = {"time"},
               .level = OptionLevel::common});
  options.add(&keep,
              {.name = "keep",
               .help = "which epoch's weights are the run's: the best on the validation rows (of many epochs the best "
                       "one is partly luck), or the last",
               .choices = {"best", "last"}});
  options.add(&normalize,
              {.name = "normalize",
               .help = "how bytes become input: x/255, per image to mean 0 deviation 1, or with the training rows' "
                       "mean and deviation",
               .choices = {"scale", "per-image", "dataset"}});
  options.add(&device,
              {.name = "device",
               .help = "where to compute; auto takes a GPU if libtorch has one",
               .choices = {"auto", "cpu", "cuda"}});
  options.add(
      &fuse,
      {.name = "fuse",
       .help =
           "on the CPU, compute activation, batch norm, pool and dropout in one pass; --no-fuse runs libtorch's own "
           "functions, which give the same up to rounding"});
  options.add(
      &precision,
      {.name = "precision",
       .help = "what steps of training keep and multiply on the CPU: float32, or bf16 with float32 sums, weights "
               "and statistics, which needs a processor with AVX512-BF16; auto is bf16 where there is one. "
               "Faces are judged in float32 either way",
       .choices = {"float32", "bf16", "auto"}});
}

void OptimizerOptions::bind(OptionSet& options) {
  options.group("optimizer");
  options.add(&optimizer,
              {.name = "opt",
               .help = "update rule; sgd uses Nesterov momentum",
               .choices = {"adam", "adamw", "sgd", "rmsprop"},
               .source = "Adam: Kingma and Ba 2015, algorithm 1; AdamW: Loshchilov and Hutter 2019, algorithm 2",
               .level = OptionLevel::common});
  options.add(&learning_rate,
              {.name = "lr",
               .help = "highest learning rate of the schedule",
               .minimum = 0,
               .maximum = 1000,
               .level = OptionLevel::common});
  options.add(&momentum,
              {.name = "momentum",
               .help = "momentum of sgd and rmsprop",
               .minimum = 0,
               .maximum = 0.9999,
               .only_with = {{"opt", "sgd,rmsprop"}}});
  options.add(&beta1,
              {.name = "beta1",
               .help = "Adam's decay of the mean gradient",
               .minimum = 0,
               .maximum = 0.99999,
               .only_with = {{"opt", "adam,adamw"}}});
  options.add(&beta2,
              {.name = "beta2",
               .help = "Adam's and rmsprop's decay of the mean squared gradient",
               .minimum = 0,
               .maximum = 0.99999999,
               .only_with = {{"opt", "adam,adamw,rmsprop"}}});
  options.add(&optimizer_epsilon,
              {.name = "opt-eps",
               .help = "added to the root of the mean squared gradient",
               .minimum = 1e-16,
               .maximum = 1,
               .only_with = {{"opt", "adam,adamw,rmsprop"}}});
  options.add(
      &weight_decay,
      {.name = "weight-decay",
       .help =
           "L2 penalty (decoupled for adamw) on weights of two or more dimensions; biases and batch norm are left out",
       .minimum = 0,
       .maximum = 10});
  options.add(&clip_grad,
              {.name = "clip-grad", .help = "largest L2 norm of the whole gradient; 0 does not clip", .minimum = 0});
  options.add(&ema_decay,
              {.name = "model-ema-decay",
               .help = "keep an exponential moving average of the weights with this decay and judge it; 0 keeps none",
               .minimum = 0,
               .maximum = 0.999999,
               .source = "warm-up min(decay, (1+t)/(10+t)) as TensorFlow's ExponentialMovingAverage"});
  options.add(
      &renew_batches,
      {.name = "model-ema-renew",
       .help = "compute the averaged network's batch-norm statistics anew from this many training batches after "
               "each epoch; 0 averages them like the weights",
       .unit = "batches",
       .minimum = 0,
       .maximum = 100000,
       .source = "Izmailov et al. 2018, arXiv:1803.05407, section 3.2",
       .only_with = {{"model-ema-decay", "!0"}}});
}

void ScheduleOptions::bind(OptionSet& options) {
  options.group("schedule");
  options.add(&schedule,
              {.name = "sched",
               .help = "learning-rate schedule",
               .choices = {"constant", "step", "cosine", "one-cycle", "plateau", "exponential"},
               .source = "cosine: Loshchilov and Hutter 2017; one-cycle: Smith and Topin 2019 (30 % up, cosine)",
               .level = OptionLevel::common});
  options.add(&warmup_epochs,
              {.name = "warmup-epochs",
               .help = "epochs of linear rise from 0 to the schedule",
               .unit = "epochs",
               .minimum = 0});
  options.add(&decay_epochs,
              {.name = "decay-epochs",
               .help = "epochs between two cuts of the step schedule",
               .unit = "epochs",
               .minimum = 1,
               .only_with = {{"sched", "step"}}});
  options.add(&decay_rate,
              {.name = "decay-rate",
               .help = "factor by which step and plateau cut the rate, or exponential lowers it each epoch",
               .minimum = 1e-6,
               .maximum = 1,
               .only_with = {{"sched", "step,plateau,exponential"}}});
  options.add(&plateau_patience,
              {.name = "plateau-patience",
               .help = "epochs without a better validation loss before plateau cuts the rate",
               .unit = "epochs",
               .minimum = 0,
               .only_with = {{"sched", "plateau"}}});
  options.add(&minimum_rate,
              {.name = "min-lr",
               .help = "lowest learning rate of cosine, one-cycle, plateau and exponential",
               .minimum = 0,
               .only_with = {{"sched", "cosine,one-cycle,plateau,exponential"}}});
}

void LossOptions::bind(OptionSet& options) {
  options.group("loss");
  options.add(&label_smoothing,
              {.name = "smoothing",
               .help = "share of each target spread evenly over all classes",
               .minimum = 0,
               .maximum = 0.9,
               .source = "Szegedy et al. 2016, section 7"});
  options.add(&distill_temperature,
              {.name = "distill-temperature",
               .help = "temperature of the teacher's and the network's logits in the teacher's part of the loss",
               .minimum = 0.01,
               .maximum = 1000,
               .only_with = {{"teacher", "!"}}});
  options.add(&distill_weight,
              {.name = "distill-weight",
               .help = "share of the teacher in the loss; the rest is the labels'",
               .minimum = 0,
               .maximum = 1,
               .source = "Hinton, Vinyals and Dean 2015, section 2: the teacher's part times the temperature squared",
               .only_with = {{"teacher", "!"}}});
}

network::Normalization::Kind normalization_kind(const std::string& name) {
  if (name == "per-image") return network::Normalization::Kind::per_image;
  if (name == "dataset") return network::Normalization::Kind::dataset;
  return network::Normalization::Kind::scale;
}

}  // namespace mien::training
