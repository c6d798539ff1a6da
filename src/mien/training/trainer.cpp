#include "mien/training/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <mutex>
#include <optional>
#include <stdexcept>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/hash.h"
#include "mien/core/random.h"
#include "mien/core/safetensors.h"
#include "mien/core/text.h"
#include "mien/data/class_weights.h"
#include "mien/data/preprocess.h"
#include "mien/evaluation/predict_shared.h"
#include "mien/network/block.h"
#include "mien/training/batch_queue.h"
#include "mien/training/checkpoint.h"
#include "mien/training/loss.h"
#include "mien/training/optimizer.h"
#include "mien/training/rank_work.h"
#include "mien/training/schedule.h"

namespace mien::training {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// An epoch's training loss this many times the first epoch's means divergence.
constexpr double kExplosion = 10;

/// Says nothing, and passes on the wish to stop.
class QuietListener final : public ProgressListener {
 public:
  explicit QuietListener(const ProgressListener& other) : other_(other) {}
  void line(std::string_view) override {}
  void warning(std::string_view) override {}
  void progress(std::string_view, int64_t, int64_t, std::string_view) override {}
  bool stop_requested() const override { return other_.stop_requested(); }

 private:
  const ProgressListener& other_;
};

std::filesystem::path checkpoint_in(const std::filesystem::path& folder) {
  return folder / "checkpoint" / "last" / "state.safetensors";
}

/// The epoch that a weights file is of; 0 if it is missing or says none.
int64_t stored_epoch(const std::filesystem::path& weights) {
  if (!std::filesystem::exists(weights)) return 0;
  const SafetensorsFile file = SafetensorsFile::open(weights);
  const auto epoch = file.metadata().find("mien.epoch");
  return epoch == file.metadata().end() ? 0 : parse_int(epoch->second).value_or(0);
}

/// Everything that decides the numbers a run produces.
std::string fingerprint(const network::Network& network, const TrainingInput& input) {
  TrainOptions options = input.options;
  data::AugmentOptions augment = input.augment;
  OptionSet set;
  options.bind(set);
  augment.bind(set);
  std::string text = network.graph().toml;
  for (const auto& entry : set.entries()) {
    // How long a run may go on does not change the epochs it has behind it (unless the schedule looks at the end).
    const bool is_horizon = entry.spec.name == "max-time" || entry.spec.name == "patience" ||
                            entry.spec.name == "device" ||
                            (entry.spec.name == "epochs" && options.schedule.schedule != "cosine" &&
                             options.schedule.schedule != "one-cycle");
    // Runs from before there was a choice have no precision in their fingerprint.
    const bool is_settled = entry.spec.name == "precision";
    if (!is_horizon && !is_settled) text += entry.spec.name + "=" + entry.text() + "\n";
  }
  if (const auto precision = resolve_precision(options.loop); precision != network::Precision::float32) {
    text += "precision=" + network::to_text(precision) + "\n";
  }
  if (input.teacher_logits.defined()) {
    const at::Tensor logits = input.teacher_logits.contiguous();
    text.append(static_cast<const char*>(logits.data_ptr()), logits.nbytes());
  }
  if (input.sync_batch_norm) text += "sync-batch-norm\n";
  if (input.normalization) text += "normalization=" + input.normalization->text() + "\n";
  for (const auto* rows : {&input.training_rows, &input.validation_rows}) {
    text.append(reinterpret_cast<const char*>(rows->data()), rows->size() * sizeof(int64_t));
    text += '|';
  }
  // The faces and labels themselves, not the checksum of their file: FER+ votes and --fraction change them after
  // reading.
  const data::Dataset& faces = *input.dataset;
  text += checksum({reinterpret_cast<const char*>(faces.pixels.data()), faces.pixels.size()});
  text.append(reinterpret_cast<const char*>(faces.labels.data()), faces.labels.size() * sizeof(int32_t));
  text.append(reinterpret_cast<const char*>(faces.label_distribution.data()),
              faces.label_distribution.size() * sizeof(float));
  return checksum(text);
}

/// The shadow weights of an exponential moving average.
class MovingAverage {
 public:
  MovingAverage(const network::Network& network, double decay) : decay_(decay), shadow_(network.clone()) {}

  /// How far the average moves towards the network in a step, counted from 1.
  double share(int64_t step) const {
    const double t = static_cast<double>(step);
    return 1 - std::min(decay_, (1 + t) / (10 + t));
  }
  /// Moves what no gradient trains (running means and variances); the optimizer moves the rest.
  void follow_buffers(const network::Network& network, int64_t step) {
    const at::NoGradGuard no_grad;
    const auto specs = network.graph().parameter_specs();
    for (size_t i = 0; i < specs.size(); ++i) {
      if (!specs[i].trainable) shadow_.tensors()[i].lerp_(network.tensors()[i].detach(), share(step));
    }
  }
  const network::Network& network() const { return shadow_; }
  network::Network& network() { return shadow_; }

 private:
  double decay_;
  network::Network shadow_;
};

/// Faces whose highest score is that of their (largest) target; the first of equal ones counts, as in argmax.
int64_t count_correct(const at::Tensor& logits, const at::Tensor& targets) {
  const at::Tensor scores = logits.detach().to(at::kCPU).contiguous();
  const at::Tensor wanted = targets.to(at::kCPU).contiguous();
  const int64_t classes = scores.size(1);
  const auto best = [&](const at::Tensor& rows, int64_t row) {
    const float* const first = rows.data_ptr<float>() + row * classes;
    return std::max_element(first, first + classes) - first;
  };
  int64_t correct = 0;
  for (int64_t row = 0; row < scores.size(0); ++row) correct += best(scores, row) == best(wanted, row) ? 1 : 0;
  return correct;
}

/// Whether a rank counts its answers: to a batch that all ranks compute, only the first one does.
bool counts_answers(const std::optional<RankWork>& work, const BatchRange& batch) {
  return !work || work->group().is_first() || !share_of(batch, work->group().rank(), work->group().size()).is_whole;
}

/// One start of a run: the objects that live from the first step to the last.
class TrainingLoop {
 public:
  TrainingLoop(network::Network network,
               const TrainingInput& input,
               ProgressListener& listener,
               TrainingObserver& observer)
      : network_(std::move(network)),
        input_(input),
        options_(input.options),
        listener_(listener),
        observer_(observer),
        device_(resolve_device(options_.loop.device)),
        precision_(resolve_precision(options_.loop)),
        normalization_(input.normalization
                           ? *input.normalization
                           : data::fit_normalization(
                                 normalization_kind(options_.loop.normalize), *input.dataset, input.training_rows)),
        batches_(*input.dataset,
                 normalization_,
                 input.augment,
                 options_.loss.label_smoothing,
                 static_cast<uint64_t>(options_.loop.seed)),
        schedule_(options_.schedule, options_.optimizer.learning_rate, options_.loop.epochs) {
    evaluation::check_fits(network_.graph(), *input.dataset);
    if (input.training_rows.empty()) throw_usage("cannot train: there are no training rows");
    move_to(network_, device_);
    network_.set_fused(options_.loop.fuse);
    for (at::Tensor parameter : network_.trainable()) parameter.requires_grad_(true);
    optimizer_.emplace(options_.optimizer, network_.trainable(), network_.trainable_names());
    if (options_.optimizer.ema_decay > 0) {
      average_.emplace(network_, options_.optimizer.ema_decay);
      optimizer_->set_averages(average_->network().trainable());
    }
    if (const at::Tensor weights = loss_weights(input); weights.defined())
      class_weights_ = weights.to(at::Device(device_));
    state_.fingerprint = fingerprint(network_, input);
    if (input.group == nullptr) return;
    if (input.sync_batch_norm && (!options_.loop.fuse || device_ != "cpu"))
      throw_usage("--sync-batch-norm needs the fused blocks", "leave --no-fuse out, and train on the CPU");
    if (const int64_t fewest = 2 * input.group->size(); options_.loop.batch_size < fewest)
      throw_usage(fmt::format("--batch-size {} leaves fewer than two faces of a batch for each of {} ranks",
                              options_.loop.batch_size,
                              input.group->size()),
                  fmt::format("choose --batch-size {} or more, or fewer ranks", fewest));
    if (input.label_dynamics != nullptr) throw std::logic_error("label dynamics are seen by one process alone");
    work_.emplace(*input.group, network_.trainable(), input.sync_batch_norm);
    work_->check_same(state_.fingerprint);
  }

  TrainingResult train();

 private:
  bool resume();
  /// Nothing if the user asked to stop in the middle.
  std::optional<EpochRow> train_epoch(int64_t epoch);
  /// This process's share of a batch's loss; nothing if a rank has asked to stop.
  std::optional<at::Tensor> loss_of(const at::Tensor& logits, const Batch& batch, std::span<const int64_t> rows);
  /// Takes this rank's faces of a batch, and tells the others of it.
  BatchRange take_share(const BatchRange& range, Batch& batch);
  /// Loss and correct answers of an epoch, over all ranks.
  void sum_over_ranks(double& loss_sum, int64_t& correct);
  bool stops() const;
  bool is_writer() const { return !work_ || work_->group().is_first(); }
  void share_best();
  void add_ranks(TrainingResult& result);
  /// Batch-norm statistics of the averaged network from the first batches of the epoch.
  void renew_statistics(int64_t epoch);
  void validate(EpochRow& row);
  /// Throws if the epoch has spoilt the weights; what its last step did shows in no training loss.
  void check_health(const EpochRow& row) const;
  [[noreturn]] void fail_diverged(const std::string& what) const;
  void save(const EpochRow& row, bool is_best);
  void save_weights(const EpochRow& row, bool is_best);
  /// Time that the epochs after this one will take, as far as can be told; 0 if nothing is left.
  double seconds_after(int64_t epoch, double epoch_seconds) const;
  NamedTensors checkpoint_tensors() const;
  const network::Network& judged() const { return average_ ? average_->network() : network_; }
  std::filesystem::path weights_file(const char* name) const { return input_.folder / "weights" / name; }
  std::filesystem::path checkpoint_file() const { return checkpoint_in(input_.folder); }

  network::Network network_;
  const TrainingInput& input_;
  TrainOptions options_;
  ProgressListener& listener_;
  TrainingObserver& observer_;
  std::string device_;
  network::Precision precision_;  // of steps; faces are judged in float32
  network::Normalization normalization_;
  BatchBuilder batches_;
  Schedule schedule_;
  std::optional<Optimizer> optimizer_;
  std::optional<MovingAverage> average_;
  std::optional<RankWork> work_;  ///< where several ranks train together
  at::Tensor class_weights_;
  TrainingState state_;
  int64_t faces_ = 0;
  double step_seconds_ = 0;
};

NamedTensors TrainingLoop::checkpoint_tensors() const {
  NamedTensors tensors;
  const auto specs = network_.graph().parameter_specs();
  for (size_t i = 0; i < specs.size(); ++i) tensors.emplace_back("network." + specs[i].name, network_.tensors()[i]);
  if (average_) {
    for (size_t i = 0; i < specs.size(); ++i)
      tensors.emplace_back("average." + specs[i].name, average_->network().tensors()[i]);
  }
  for (auto& entry : optimizer_->state()) tensors.push_back(std::move(entry));
  if (input_.label_dynamics != nullptr) tensors.emplace_back("label_dynamics", input_.label_dynamics->state());
  return tensors;
}

bool TrainingLoop::resume() {
  std::optional<TrainingState> stored;
  if (is_writer()) stored = load_checkpoint(checkpoint_file(), state_.fingerprint, checkpoint_tensors());
  if (work_) stored = work_->share_state(stored, checkpoint_tensors());
  if (!stored) return false;
  state_ = *stored;
  optimizer_->set_steps(state_.optimizer_steps);
  schedule_.restore(state_.schedule);
  std::string differences;
  for (const auto& [what, now] : input_.numerics) {
    const auto then = state_.numerics.find(what);
    if (then != state_.numerics.end() && then->second != now)
      differences += fmt::format("{}{} {} instead of {}", differences.empty() ? "" : ", ", what, now, then->second);
  }
  if (!differences.empty() && !state_.is_over) {
    listener_.warning(
        fmt::format("training goes on with {}: rounding differs, so the outcome will be near that of an uninterrupted "
                    "run, not the same to the bit",
                    differences));
  }
  if (const auto now = input_.numerics.find("ranks"); now != input_.numerics.end()) {
    std::string& then = state_.numerics["ranks"];
    if (then.empty()) then = "1";  // of versions that knew no ranks
    std::string& so_far = state_.numerics["ranks so far"];
    if (so_far.empty()) so_far = then;
    if (then != now->second && !state_.is_over) so_far += ", " + now->second;
    if (!state_.is_over) then = now->second;
  }
  // A kill between the checkpoint and the weights of its epoch: the checkpoint has them.
  if (!state_.history.empty() && !state_.is_over && is_writer()) {
    const EpochRow& row = state_.history.back();
    const bool lacks_best =
        state_.best_epoch == row.epoch && stored_epoch(weights_file("best.safetensors")) != state_.best_epoch;
    if (lacks_best || stored_epoch(weights_file("last.safetensors")) != row.epoch) save_weights(row, lacks_best);
  }
  observer_.resumed(state_.history);
  return true;
}

double TrainingLoop::seconds_after(int64_t epoch, double epoch_seconds) const {
  const double left = static_cast<double>(options_.loop.epochs - epoch) * epoch_seconds;
  const double budget = options_.loop.time_minutes * 60;
  return budget > 0 ? std::clamp(budget - state_.seconds - epoch_seconds, 0.0, left) : left;
}

std::optional<EpochRow> TrainingLoop::train_epoch(int64_t epoch) {
  const auto start = Clock::now();
  const auto seed = static_cast<uint64_t>(options_.loop.seed);
  const std::vector<int64_t> order = training_order(input_, epoch);
  seed_dropout(device_, RandomStream(seed, "dropout", static_cast<uint64_t>(epoch)).next());

  const auto count = static_cast<int64_t>(order.size());
  const int64_t batch_size = options_.loop.batch_size;
  // A last batch of one face has no batch statistics: it joins the batch before it.
  int64_t steps = (count + batch_size - 1) / batch_size;
  if (steps > 1 && count - (steps - 1) * batch_size == 1) --steps;
  std::vector<BatchRange> ranges;
  std::vector<BatchRange> made;  // a rank makes its own faces only, unless faces of a batch are mixed with one another
  for (int64_t step = 0; step < steps; ++step) {
    ranges.push_back({.begin = step * batch_size, .end = step + 1 == steps ? count : (step + 1) * batch_size});
    const bool is_part = work_ && !input_.augment.any_per_batch();
    made.push_back(is_part ? share_of(ranges.back(), work_->group().rank(), work_->group().size()).range
                           : ranges.back());
  }
  BatchQueue queue(batches_, order, made, epoch);
  double loss_sum = 0;
  int64_t correct = 0;
  double rate = 0;
  const double ranks = work_ ? work_->group().size() : 1;
  const std::string what = fmt::format("epoch {}/{}", epoch, options_.loop.epochs);
  for (int64_t step = 0; step < steps; ++step) {
    if (!work_ && listener_.stop_requested()) return std::nullopt;
    const auto [whole_begin, end] = ranges[static_cast<size_t>(step)];
    Batch batch = queue.next();
    const BatchRange own = take_share(ranges[static_cast<size_t>(step)], batch);
    if (epoch == 1 && step == 0) observer_.first_batch(batch);
    batch.images = batch.images.to(at::Device(device_));
    batch.targets = batch.targets.to(at::Device(device_));
    rate = schedule_.rate(static_cast<double>(epoch - 1) + static_cast<double>(step) / static_cast<double>(steps));

    const at::Tensor logits = [&] {
      const network::PrecisionScope scope(precision_);
      return network_.forward(batch.images, network::Mode::training);
    }();
    const auto rows =
        std::span(order).subspan(static_cast<size_t>(own.begin), static_cast<size_t>(own.end - own.begin));
    if (input_.label_dynamics != nullptr) input_.label_dynamics->see(rows, logits);
    const std::optional<at::Tensor> loss = loss_of(logits, batch, rows);
    if (!loss) return std::nullopt;
    const double loss_value = loss->item<double>();
    if (!std::isfinite(loss_value)) {
      fail_diverged(fmt::format("stopped at epoch {}, step {} of {}: the loss is {} at learning rate {}",
                                epoch,
                                step + 1,
                                steps,
                                loss_value,
                                format_double(rate)));
    }
    loss->backward();
    if (work_) work_->finish_step();
    optimizer_->step(rate, average_ ? average_->share(optimizer_->steps() + 1) : 0);
    optimizer_->zero_grad();
    if (average_) average_->follow_buffers(network_, optimizer_->steps());

    loss_sum += loss_value * static_cast<double>(end - whole_begin);
    correct += counts_answers(work_, ranges[static_cast<size_t>(step)]) ? count_correct(logits, batch.targets) : 0;
    const double seconds = seconds_since(start);
    const double epoch_seconds = seconds * static_cast<double>(count) / static_cast<double>(end);
    std::string detail = fmt::format("loss {:.4f}  acc {:.4f}  {:.0f} faces/s",
                                     loss_sum * ranks / static_cast<double>(end),  // of several, this one's estimate
                                     static_cast<double>(correct) * ranks / static_cast<double>(end),
                                     static_cast<double>(end) / seconds);
    if (const double after = seconds_after(epoch, epoch_seconds); after > 0)
      detail += fmt::format("  run {} left", format_duration(after + epoch_seconds - seconds));
    listener_.progress(what, step + 1, steps, detail);
  }
  sum_over_ranks(loss_sum, correct);
  faces_ += count;
  step_seconds_ += seconds_since(start);
  return EpochRow{.epoch = epoch,
                  .train_loss = loss_sum / static_cast<double>(count),
                  .train_accuracy = static_cast<double>(correct) / static_cast<double>(count),
                  .validation_loss = std::numeric_limits<double>::quiet_NaN(),
                  .validation_accuracy = std::numeric_limits<double>::quiet_NaN(),
                  .learning_rate = rate,
                  .seconds = seconds_since(start)};
}

BatchRange TrainingLoop::take_share(const BatchRange& range, Batch& batch) {
  if (!work_) return range;
  const Share share = share_of(range, work_->group().rank(), work_->group().size());
  if (input_.augment.any_per_batch()) {
    batch.images = batch.images.slice(0, share.range.begin - range.begin, share.range.end - range.begin);
    batch.targets = batch.targets.slice(0, share.range.begin - range.begin, share.range.end - range.begin);
  }
  const double weight = class_weights_.defined() ? (batch.targets * class_weights_.cpu()).sum().item<double>()
                                                 : static_cast<double>(share.range.end - share.range.begin);
  work_->begin_step(share, range, weight, listener_.stop_requested());
  return share.range;
}

std::optional<at::Tensor> TrainingLoop::loss_of(const at::Tensor& logits,
                                                const Batch& batch,
                                                std::span<const int64_t> rows) {
  at::Tensor of_labels = cross_entropy(logits, batch.targets, class_weights_);
  LossShare share;
  if (work_) {
    const auto told = work_->loss_share();
    if (!told) return std::nullopt;
    share = *told;
    of_labels = of_labels * share.of_labels;
  }
  if (!input_.teacher_logits.defined()) return of_labels;
  const at::Tensor indices = at::empty({static_cast<int64_t>(rows.size())}, at::kLong);
  std::copy(rows.begin(), rows.end(), indices.data_ptr<int64_t>());
  const at::Tensor teacher = input_.teacher_logits.index_select(0, indices).to(at::Device(device_));
  const double weight = options_.loss.distill_weight;
  at::Tensor of_teacher = distillation_loss(logits, teacher, options_.loss.distill_temperature);
  if (work_) of_teacher = of_teacher * share.of_teacher;
  return of_labels * (1 - weight) + of_teacher * weight;
}

void TrainingLoop::sum_over_ranks(double& loss_sum, int64_t& correct) {
  if (!work_) return;
  std::vector<double> sums{loss_sum, static_cast<double>(correct)};
  std::vector<network::Network*> networks{&network_};
  if (average_) networks.push_back(&average_->network());
  const std::string warning = work_->end_epoch(sums, networks);
  if (!warning.empty() && is_writer()) listener_.warning(warning);
  loss_sum = sums[0];
  correct = static_cast<int64_t>(sums[1]);
}

bool TrainingLoop::stops() const {
  return work_ ? input_.group->any(listener_.stop_requested()) : listener_.stop_requested();
}

void TrainingLoop::renew_statistics(int64_t epoch) {
  const int64_t wanted = options_.optimizer.renew_batches;
  if (!average_ || wanted == 0) return;
  const at::NoGradGuard no_grad;
  const network::Network& network = average_->network();
  const auto specs = network.graph().parameter_specs();
  const std::vector<int64_t> order = training_order(input_, epoch);
  const auto count = static_cast<int64_t>(order.size());
  std::vector<at::Tensor> sums(specs.size());
  const auto& layers = network.graph().layers;
  const bool drops = std::any_of(layers.begin(), layers.end(), [](const network::Layer& layer) {
    return layer.kind == network::LayerKind::dropout && layer.probability > 0;
  });
  int64_t batches = 0;
  for (int64_t begin = 0; batches < wanted && begin + 1 < count; begin += options_.loop.batch_size, ++batches) {
    if (!work_ && listener_.stop_requested()) return;  // the epoch is not kept
    if (work_ && batches % work_->group().size() != work_->group().rank()) {
      if (drops) network::draw_dropout_seed();  // the batch's own, so that the next one's is that of one process
      continue;
    }
    const int64_t size = std::min(options_.loop.batch_size, count - begin);
    const Batch batch = batches_.make(
        std::span(order).subspan(static_cast<size_t>(begin), static_cast<size_t>(size)), epoch, begin, batches);
    for (size_t i = 0; i < specs.size(); ++i) {
      if (!specs[i].trainable) at::Tensor(network.tensors()[i]).zero_();
    }
    network.forward(batch.images.to(at::Device(device_)), network::Mode::training);
    for (size_t i = 0; i < specs.size(); ++i) {
      if (specs[i].trainable) continue;
      sums[i] = sums[i].defined() ? sums[i] + network.tensors()[i] : network.tensors()[i].clone();
    }
  }
  for (size_t i = 0; work_ && i < specs.size(); ++i) {
    if (specs[i].trainable) continue;
    std::vector<double> values(static_cast<size_t>(network.tensors()[i].numel()));
    if (sums[i].defined()) std::copy_n(sums[i].cpu().data_ptr<float>(), values.size(), values.begin());
    input_.group->sum(values);
    sums[i] = at::empty_like(network.tensors()[i]);
    for (size_t k = 0; k < values.size(); ++k) sums[i].data_ptr<float>()[k] = static_cast<float>(values[k]);
  }
  // From zero, a pass leaves momentum times the batch's statistics.
  std::map<std::string, double> momenta;
  for (const network::Layer& layer : network.graph().layers) momenta[layer.name] = layer.momentum;
  for (size_t i = 0; i < specs.size(); ++i) {
    if (specs[i].trainable) continue;
    const double momentum = momenta.at(specs[i].name.substr(0, specs[i].name.rfind('.')));
    at::Tensor(network.tensors()[i]).copy_(sums[i] / (momentum * static_cast<double>(batches)));
  }
}

void TrainingLoop::validate(EpochRow& row) {
  if (input_.validation_rows.empty()) return;
  const auto start = Clock::now();
  QuietListener quiet(listener_);
  const auto predictions = evaluation::predict_shared(
      judged(), normalization_, *input_.dataset, input_.validation_rows, {}, quiet, input_.group);
  row.validation_loss = evaluation::mean_log_loss(predictions);
  row.validation_accuracy = evaluation::accuracy(predictions);
  row.seconds += seconds_since(start);
}

void TrainingLoop::fail_diverged(const std::string& what) const {
  throw_failed(fmt::format("training {} {}", network_.graph().name, what),
               fmt::format("try --lr {:.3g} or --clip-grad 1; the last whole epoch is kept",
                           options_.optimizer.learning_rate / 10));
}

void TrainingLoop::check_health(const EpochRow& row) const {
  const std::string rate = format_double(row.learning_rate);
  if (row.train_loss > kExplosion * state_.first_epoch_loss) {
    fail_diverged(
        fmt::format("diverged: the mean loss of epoch {} is {:.4g}, of the first epoch {:.4g}, at learning rate {}",
                    row.epoch,
                    row.train_loss,
                    state_.first_epoch_loss,
                    rate));
  }
  const bool is_judged = std::isfinite(row.validation_accuracy);
  if (is_judged && !std::isfinite(row.validation_loss)) {
    fail_diverged(fmt::format(
        "diverged: the validation loss of epoch {} is {} at learning rate {}", row.epoch, row.validation_loss, rate));
  }
  const auto specs = network_.graph().parameter_specs();
  for (size_t i = 0; i < specs.size(); ++i) {
    if (!network_.tensors()[i].detach().isfinite().all().item<bool>()) {
      fail_diverged(
          fmt::format("diverged: {} is not finite after epoch {} at learning rate {}", specs[i].name, row.epoch, rate));
    }
  }
}

void TrainingLoop::save_weights(const EpochRow& row, bool is_best) {
  network::WeightsInfo info{
      .normalization = normalization_, .class_names = input_.dataset->class_names, .extra = input_.metadata};
  info.extra["mien.epoch"] = std::to_string(row.epoch);
  info.extra["mien.seed"] = std::to_string(options_.loop.seed);
  if (std::isfinite(row.validation_accuracy))
    info.extra["mien.validation_accuracy"] = format_double(row.validation_accuracy);
  if (is_best) network::save_weights(weights_file("best.safetensors"), judged(), info);
  network::save_weights(weights_file("last.safetensors"), judged(), info);
}

void TrainingLoop::save(const EpochRow& row, bool is_best) {
  // The checkpoint first: it holds the weights of its epoch, so that a kill after it costs nothing.
  state_.optimizer_steps = optimizer_->steps();
  state_.schedule = schedule_.state();
  save_checkpoint(checkpoint_file(), state_, checkpoint_tensors());
  save_weights(row, is_best);
}

TrainingResult TrainingLoop::train() {
  TrainingResult result{.best = network_, .normalization = normalization_, .resumed = resume()};
  result.stop_reason = StopReason::completed;
  if (!result.resumed) state_.numerics = input_.numerics;
  double last_seconds = state_.history.empty() ? 0 : state_.history.back().seconds;
  while (state_.epochs_done < options_.loop.epochs) {
    const int64_t patience = options_.loop.patience;
    if (patience > 0 && state_.best_epoch > 0 && state_.epochs_done - state_.best_epoch >= patience) {
      result.stop_reason = StopReason::early_stopped;
      break;
    }
    if (state_.is_over) {  // only the time can have ended it
      result.stop_reason = StopReason::time_budget;
      break;
    }
    const double budget = options_.loop.time_minutes * 60;
    if (budget > 0 && state_.epochs_done > 0 && state_.seconds + last_seconds > budget) {
      result.stop_reason = StopReason::time_budget;
      break;
    }
    auto row = train_epoch(state_.epochs_done + 1);
    if (row) renew_statistics(row->epoch);
    if (row && !stops()) {
      try {
        validate(*row);
        if (work_) row->seconds = input_.group->broadcast(row->seconds);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::interrupted) throw;
        row.reset();
      }
    } else {
      row.reset();
    }
    if (!row || stops()) {
      result.stop_reason = StopReason::interrupted;
      break;
    }
    if (state_.epochs_done == 0) state_.first_epoch_loss = row->train_loss;
    check_health(*row);
    last_seconds = row->seconds;
    const bool has_validation = !input_.validation_rows.empty();
    const bool is_best = !has_validation || options_.loop.keep == "last" ||
                         row->validation_accuracy > state_.best_accuracy ||
                         (row->validation_accuracy == state_.best_accuracy && row->validation_loss < state_.best_loss);
    if (is_best) {
      state_.best_epoch = row->epoch;
      state_.best_accuracy = has_validation ? row->validation_accuracy : -1;
      state_.best_loss = row->validation_loss;
    }
    schedule_.epoch_ended(row->validation_loss);
    state_.epochs_done = row->epoch;
    state_.seconds += row->seconds;
    state_.history.push_back(*row);
    if (is_writer()) save(*row, is_best);
    listener_.line(epoch_line(*row, options_.loop.epochs) + (is_best && has_validation ? "  best" : ""));
    observer_.epoch_ended(state_.history, is_best);
  }
  if (state_.best_epoch > 0) share_best();
  result.best = network_;
  result.history = state_.history;
  result.best_epoch = state_.best_epoch;
  result.seconds = state_.seconds;
  result.faces_per_second = step_seconds_ > 0 ? static_cast<double>(faces_) / step_seconds_ : 0;
  if (const auto ranks = state_.numerics.find("ranks so far"); ranks != state_.numerics.end())
    result.ranks_so_far = ranks->second;
  if (work_) add_ranks(result);
  return result;
}

void TrainingLoop::share_best() {
  if (is_writer()) {
    const std::filesystem::path best = weights_file("best.safetensors");
    if (const int64_t epoch = stored_epoch(best); epoch != state_.best_epoch) {
      throw_bad_data(
          fmt::format("{} is of epoch {}, the run's best is epoch {}", best.string(), epoch, state_.best_epoch),
          "remove the checkpoint folder to start again from the first epoch");
    }
    network::load_weights_into(best, network_);
  }
  if (work_) work_->share_tensors(network_.tensors());
}

void TrainingLoop::add_ranks(TrainingResult& result) {
  const auto size = static_cast<size_t>(input_.group->size());
  std::vector<double> seconds(2 * size);
  seconds[2 * static_cast<size_t>(input_.group->rank())] = step_seconds_;
  seconds[2 * static_cast<size_t>(input_.group->rank()) + 1] = work_->seconds_waited();
  input_.group->sum(seconds);
  for (size_t rank = 0; rank < size; ++rank)
    result.ranks.push_back({.seconds_training = seconds[2 * rank], .seconds_waiting = seconds[2 * rank + 1]});
  result.bytes_a_step = work_->bytes_a_step();
}

}  // namespace

std::string to_text(StopReason reason) {
  switch (reason) {
    case StopReason::completed:
      return "completed";
    case StopReason::early_stopped:
      return "early stopped";
    case StopReason::time_budget:
      return "time budget used";
    case StopReason::interrupted:
      return "interrupted";
  }
  return "";
}

TrainingResult train(network::Network network,
                     const TrainingInput& input,
                     ProgressListener& listener,
                     TrainingObserver& observer) {
  return TrainingLoop(std::move(network), input, listener, observer).train();
}

void finish_checkpoint(const std::filesystem::path& folder) { drop_tensors(checkpoint_in(folder)); }

at::Tensor loss_weights(const TrainingInput& input) {
  const data::ClassWeightOptions& options = input.options.classes;
  if (options.class_weights == "none") return {};
  const std::vector<double> weights = data::class_weights(
      data::class_counts(*input.dataset, input.training_rows), options.class_weights, options.class_weight_beta);
  const at::Tensor result = at::empty({static_cast<int64_t>(weights.size())}, at::kFloat);
  std::copy(weights.begin(), weights.end(), result.data_ptr<float>());
  return result;
}

std::vector<int64_t> training_order(const TrainingInput& input, int64_t epoch) {
  const auto seed = static_cast<uint64_t>(input.options.loop.seed);
  return input.options.classes.balanced_sampling
             ? data::balanced_epoch_order(*input.dataset, input.training_rows, seed, epoch)
             : data::epoch_order(input.training_rows, seed, epoch);
}

std::string epoch_line(const EpochRow& row, int64_t epochs) {
  std::string line = fmt::format("[{:03d}/{:03d}] {:.2f} sec(s) Train Acc: {:.6f} Loss: {:.6f}",
                                 row.epoch,
                                 epochs,
                                 row.seconds,
                                 row.train_accuracy,
                                 row.train_loss);
  if (std::isfinite(row.validation_accuracy)) {
    line += fmt::format(" | Val Acc: {:.6f} loss: {:.6f}", row.validation_accuracy, row.validation_loss);
  }
  return line;
}

std::string resolve_device(const std::string& name) {
  const bool has_cuda = at::hasCUDA();
  if (name == "auto") return has_cuda ? "cuda" : "cpu";
  if (name == "cuda" && !has_cuda) {
    throw_usage("--device cuda: this libtorch has no usable GPU",
                "--device cpu, or build against a CUDA libtorch; `mien doctor` shows what is there");
  }
  return name;
}

network::Precision resolve_precision(const LoopOptions& loop) {
  if (loop.fuse && resolve_device(loop.device) == "cpu") return network::parse_precision(loop.precision);
  if (loop.precision == "bf16") {
    throw_usage("--precision bf16 is for fused layers on the CPU",
                "leave out --no-fuse and take --device cpu, or take --precision auto");
  }
  return network::Precision::float32;
}

void seed_dropout(const std::string& device, uint64_t seed) {
  at::Generator generator = at::globalContext().defaultGenerator(at::Device(device));
  const std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_current_seed(seed);
}

void move_to(network::Network& network, const std::string& device) {
  for (at::Tensor tensor : network.tensors()) tensor.set_data(tensor.detach().to(at::Device(device)));
}

}  // namespace mien::training
