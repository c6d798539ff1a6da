// What the trainer claims of one start: what it computes, when it stops, what it leaves behind.
#include "mien/training/trainer.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "training/trainer_testing.h"
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "mien/data/class_weights.h"
#include "mien/data/preprocess.h"
#include "mien/evaluation/evaluator.h"
#include "mien/training/learning_rate_finder.h"
#include "mien/training/loss.h"

namespace mien::training {
namespace {

/// Training rows of which a quarter of the classes' rows are missing, the first class's most.
std::vector<int64_t> unequal_rows() {
  std::vector<int64_t> rows;
  int64_t number = 0;
  for (const int64_t row : rows_of(faces(), data::Usage::training)) {
    const int32_t label = faces().labels[static_cast<size_t>(row)];
    if (label != 0 || number++ < 3) rows.push_back(row);
  }
  return rows;
}

/// One epoch of one step at learning rate 0, so that the epoch's loss is that of the first weights.
TrainingInput one_look(const std::filesystem::path& folder) {
  TrainingInput input = input_in(folder);
  input.options.loop.epochs = 1;
  input.options.loop.batch_size = 1000;
  input.options.optimizer.learning_rate = 0;
  return input;
}

/// Images of `rows`, scaled, and logits of `network` for them.
at::Tensor logits_of(const network::Network& network, const std::vector<int64_t>& rows) {
  const at::NoGradGuard no_grad;
  at::Tensor images = at::empty({static_cast<int64_t>(rows.size()), 1, 24, 24}, at::kFloat);
  for (size_t i = 0; i < rows.size(); ++i) {
    data::normalize_image(faces().image(rows[i]), {}, images.data_ptr<float>() + i * 24 * 24);
  }
  return network.forward(images, network::Mode::evaluation);
}

at::Tensor targets_of(const std::vector<int64_t>& rows) {
  std::vector<int64_t> labels;
  for (const int64_t row : rows) labels.push_back(faces().labels[static_cast<size_t>(row)]);
  return one_hot(labels, 7);
}

bool same_weights(const network::Network& one, const network::Network& other) {
  for (size_t i = 0; i < one.tensors().size(); ++i) {
    if (!at::equal(one.tensors()[i], other.tensors()[i])) return false;
  }
  return true;
}

TEST(Trainer, LearnsToTellTheFacesApart) {
  const TemporaryFolder folder;
  TrainingInput input = input_in(folder.path());
  input.options.loop.epochs = 25;
  input.options.optimizer.learning_rate = 0.01;
  const TrainingResult result = train(small_network(), input);
  EXPECT_NEAR(result.history.front().train_loss, std::log(7.0), 0.6);
  EXPECT_LT(result.history.back().train_loss, 0.6 * result.history.front().train_loss);
  EXPECT_GT(result.history.back().train_accuracy, 0.6);
  EXPECT_GT(result.history[static_cast<size_t>(result.best_epoch - 1)].validation_accuracy, 0.35);  // chance is 1/7
  EXPECT_GT(result.faces_per_second, 0);
}

TEST(Trainer, GivesTheSameBytesForTheSameSeedAndOthersForAnother) {
  const TemporaryFolder folder;
  TrainingInput input = input_in(folder / "first");
  input.augment.rotate = 10;
  const TrainingResult first = train(small_network(), input);
  input.folder = folder / "second";
  train(small_network(), input);
  expect_same_outcome(folder / "second", folder / "first");

  input.folder = folder / "third";
  input.options.loop.seed = 1;
  EXPECT_FALSE(same_weights(train(small_network(), input).best, first.best));
}

TEST(Trainer, DropoutDoesNotDependOnWhatWasDrawnBefore) {
  const TemporaryFolder folder;
  train(small_network(), input_in(folder / "first"));
  at::rand({1000});
  train(small_network(), input_in(folder / "second"));
  expect_same_outcome(folder / "second", folder / "first");
}

TEST(Trainer, DropoutIsDrawnAnewEveryEpoch) {
  const TemporaryFolder folder;
  TrainingInput input = one_look(folder.path());
  input.options.loop.epochs = 3;
  input.training_rows.resize(1);  // always the same batch, always the same weights
  const std::string layers = R"({ conv = 4, kernel = 3, stride = 2 }, "flatten", { dropout = 0.5 }, { dense = 7 })";
  const TrainingResult result = train(network_of(layers), input);
  EXPECT_NE(result.history[0].train_loss, result.history[1].train_loss);
  EXPECT_NE(result.history[1].train_loss, result.history[2].train_loss);
}

TEST(Trainer, LossOfTheFirstStepIsTheCrossEntropyOfTheFirstWeights) {
  const TemporaryFolder folder;
  const TrainingInput input = one_look(folder.path());
  const at::Tensor logits = logits_of(plain_network(), input.training_rows);
  const at::Tensor targets = targets_of(input.training_rows);
  const TrainingResult result = train(plain_network(), input);
  EXPECT_NEAR(result.history[0].train_loss, cross_entropy(logits, targets).item<double>(), 1e-5);
  EXPECT_DOUBLE_EQ(result.history[0].train_accuracy,
                   logits.argmax(1).eq(targets.argmax(1)).to(at::kDouble).mean().item<double>());
}

TEST(Trainer, ClassWeightsEnterTheLoss) {
  const TemporaryFolder folder;
  TrainingInput input = one_look(folder / "weighted");
  input.training_rows = unequal_rows();
  input.options.classes.class_weights = "balanced";
  const double weighted = train(plain_network(), input).history[0].train_loss;
  const std::vector<double> weights = data::class_weights(data::class_counts(faces(), input.training_rows), "balanced");
  EXPECT_GT(weights[0], 3 * weights[1]);
  const at::Tensor logits = logits_of(plain_network(), input.training_rows);
  const at::Tensor weight_tensor = at::tensor(weights).to(at::kFloat);
  EXPECT_NEAR(weighted, cross_entropy(logits, targets_of(input.training_rows), weight_tensor).item<double>(), 1e-5);

  input.folder = folder / "plain";
  input.options.classes.class_weights = "none";
  EXPECT_GT(std::abs(train(plain_network(), input).history[0].train_loss - weighted), 1e-4);
}

TEST(Trainer, SoftLabelsAreTheTargets) {
  const TemporaryFolder folder;
  data::Dataset soft = faces();
  soft.label_distribution.resize(static_cast<size_t>(soft.size() * 7));
  RandomStream random(1, "soft labels");
  for (int64_t row = 0; row < soft.size(); ++row) {
    double sum = 0;
    std::vector<double> shares(7);
    for (double& share : shares) sum += share = random.uniform();
    for (size_t c = 0; c < 7; ++c) {
      soft.label_distribution[static_cast<size_t>(row) * 7 + c] = static_cast<float>(shares[c] / sum);
    }
  }
  TrainingInput input = one_look(folder.path());
  input.dataset = &soft;
  Witness witness;
  const double loss = train(plain_network(), input, witness).history[0].train_loss;
  const at::Tensor logits = logits_of(plain_network(), input.training_rows);
  at::Tensor targets = at::empty({logits.size(0), 7}, at::kFloat);
  for (int64_t i = 0; i < logits.size(0); ++i) {
    const float* row = soft.label_distribution.data() + input.training_rows[static_cast<size_t>(i)] * 7;
    std::copy_n(row, 7, targets.data_ptr<float>() + i * 7);
  }
  EXPECT_NEAR(loss, cross_entropy(logits, targets).item<double>(), 1e-5);
  EXPECT_NEAR(witness.first.targets.sum(1).min().item<double>(), 1, 1e-5);
}

TEST(Trainer, SmoothingSpreadsAShareOfEveryTarget) {
  const TemporaryFolder folder;
  TrainingInput input = one_look(folder.path());
  input.options.loss.label_smoothing = 0.14;
  Witness witness;
  train(plain_network(), input, witness);
  const at::Tensor targets = witness.first.targets;
  EXPECT_NEAR(targets.min().item<double>(), 0.02, 1e-6);
  EXPECT_NEAR(std::get<0>(targets.max(1)).min().item<double>(), 0.88, 1e-6);
  EXPECT_LT(largest_difference(targets.sum(1), at::ones({targets.size(0)})), 1e-6);
}

TEST(Trainer, BalancedSamplingShowsEveryClassEquallyOften) {
  const TemporaryFolder folder;
  TrainingInput input = one_look(folder.path());
  input.training_rows = unequal_rows();
  input.options.classes.balanced_sampling = true;
  Witness witness;
  train(plain_network(), input, witness);
  const at::Tensor counts = witness.first.targets.sum(0);
  EXPECT_EQ(counts.sum().item<int64_t>(), static_cast<int64_t>(input.training_rows.size()));
  EXPECT_LE((counts.max() - counts.min()).item<double>(), 1);
}

TEST(Trainer, NormalizesAsAskedAndKeepsItWithTheWeights) {
  const TemporaryFolder folder;
  TrainingInput input = one_look(folder.path());
  input.options.loop.normalize = "dataset";
  Witness witness;
  const TrainingResult result = train(plain_network(), input, witness);
  EXPECT_NEAR(witness.first.images.mean().item<double>(), 0, 1e-4);
  EXPECT_NEAR(witness.first.images.std().item<double>(), 1, 1e-3);
  const auto loaded = network::load_weights(folder / "weights/best.safetensors");
  EXPECT_EQ(loaded.info.normalization.text(), result.normalization.text());
  EXPECT_EQ(loaded.info.normalization.kind, network::Normalization::Kind::dataset);
}

TEST(Trainer, ShowsTheFirstBatchOnce) {
  const TemporaryFolder folder;
  Witness witness;
  train(small_network(), input_in(folder.path()), witness);
  EXPECT_EQ(witness.first_batches, 1);
  EXPECT_EQ(witness.first.images.sizes(), at::IntArrayRef({32, 1, 24, 24}));
  EXPECT_EQ(witness.first.targets.sizes(), at::IntArrayRef({32, 7}));
}

TEST(Trainer, LastFaceAloneJoinsTheBatchBeforeIt) {
  const TemporaryFolder folder;
  TrainingInput input = input_in(folder / "33");
  input.options.loop.epochs = 1;
  input.training_rows.resize(33);
  Witness one_batch;
  EXPECT_TRUE(std::isfinite(train(small_network(), input, one_batch).history[0].train_loss));
  EXPECT_EQ(one_batch.first.images.size(0), 33);
  input.folder = folder / "34";
  input.training_rows.push_back(input.validation_rows[0]);
  Witness two_batches;
  train(small_network(), input, two_batches);
  EXPECT_EQ(two_batches.first.images.size(0), 32);
  EXPECT_GT(two_batches.steps, one_batch.steps);
}

TEST(Trainer, WithoutValidationRowsTheLastEpochIsTheBest) {
  const TemporaryFolder folder;
  TrainingInput input = input_in(folder.path());
  input.validation_rows.clear();
  const TrainingResult result = train(small_network(), input);
  EXPECT_EQ(result.best_epoch, 4);
  EXPECT_TRUE(std::isnan(result.history[3].validation_loss));
  EXPECT_TRUE(std::isnan(result.history[3].validation_accuracy));
  EXPECT_TRUE(read_text(folder / "weights/best.safetensors") == read_text(folder / "weights/last.safetensors"));
}

/// Keeps each epoch's weights beside the run.
class KeepEveryEpoch final : public TrainingObserver {
 public:
  explicit KeepEveryEpoch(std::filesystem::path folder) : folder_(std::move(folder)) {}
  void epoch_ended(const std::vector<EpochRow>& history, bool) override {
    std::filesystem::copy_file(folder_ / "weights/last.safetensors", file(history.back().epoch));
  }
  std::filesystem::path file(int64_t epoch) const { return folder_ / ("epoch" + std::to_string(epoch)); }

 private:
  std::filesystem::path folder_;
};

TEST(Trainer, KeepsTheEpochWithTheBestValidationAccuracy) {
  bool was_before_the_last = false;
  for (const double average : {0.0, 0.9}) {
    const TemporaryFolder folder;
    TrainingInput input = input_in(folder.path());
    input.options.loop.epochs = 12;
    input.options.optimizer.learning_rate = 0.03;  // restless: the best epoch is not the last
    input.options.optimizer.ema_decay = average;
    KeepEveryEpoch observer(folder.path());
    const TrainingResult result = train(small_network(), input, silent_listener(), observer);
    const auto is_better = [](const EpochRow& one, const EpochRow& other) {
      return one.validation_accuracy != other.validation_accuracy ? one.validation_accuracy > other.validation_accuracy
                                                                  : one.validation_loss < other.validation_loss;
    };
    const auto best = std::min_element(result.history.begin(), result.history.end(), is_better);
    EXPECT_EQ(result.best_epoch, best->epoch);
    was_before_the_last = was_before_the_last || result.best_epoch < 12;
    EXPECT_TRUE(read_text(folder / "weights/best.safetensors") == read_text(observer.file(best->epoch)));

    const auto loaded = network::load_weights(folder / "weights/best.safetensors");
    EXPECT_TRUE(same_weights(loaded.network, result.best));
    EXPECT_EQ(loaded.info.extra.at("mien.epoch"), std::to_string(best->epoch));
    const auto predictions =
        evaluation::predict(loaded.network, loaded.info.normalization, faces(), input.validation_rows);
    EXPECT_DOUBLE_EQ(evaluation::accuracy(predictions), best->validation_accuracy);
    EXPECT_DOUBLE_EQ(evaluation::mean_log_loss(predictions), best->validation_loss);
  }
  EXPECT_TRUE(was_before_the_last) << "two runs that end with their best epoch show nothing";
}

TEST(Trainer, AverageOfTheWeightsFollowsItsDefinition) {
  // Batches of all rows and a learning rate that ends after the first epoch: weights w0, then w1 for good.
  const TemporaryFolder folder;
  TrainingInput input = input_in(folder.path());
  input.options.loop.epochs = 2;
  input.options.loop.batch_size = 1000;
  input.options.optimizer.ema_decay = 0.5;
  input.options.schedule.schedule = "step";
  input.options.schedule.decay_epochs = 1;
  input.options.schedule.decay_rate = 1e-30;
  input.validation_rows.clear();
  const network::Network start = plain_network();
  train(plain_network(), input);
  const SafetensorsFile checkpoint = SafetensorsFile::open(checkpoint_in(folder.path()));
  const at::Tensor w0 = start.tensor("conv1.weight");
  const at::Tensor w1 = tensor_of(checkpoint, "network.conv1.weight");
  ASSERT_GT(largest_difference(w1, w0), 5e-4);
  // Decays of the two steps: min(0.5, 2/11), min(0.5, 3/12).
  const double share_of_start = 2.0 / 11 * 3.0 / 12;
  EXPECT_LT(largest_difference(tensor_of(checkpoint, "average.conv1.weight"), w1 + share_of_start * (w0 - w1)), 1e-7);
  const auto judged = network::load_weights(folder / "weights/best.safetensors");
  EXPECT_EQ(largest_difference(judged.network.tensor("conv1.weight"), tensor_of(checkpoint, "average.conv1.weight")),
            0);
}

TEST(Trainer, StopsEarlyAfterPatienceEpochsWithoutGain) {
  const TemporaryFolder folder;
  TrainingInput input = input_in(folder.path());
  input.options.loop.epochs = 50;
  input.options.loop.patience = 2;
  input.options.optimizer.learning_rate = 0;  // nothing ever gets better than the first epoch
  const TrainingResult result = train(plain_network(), input);
  EXPECT_EQ(result.stop_reason, StopReason::early_stopped);
  EXPECT_EQ(result.history.size(), 3U);
  EXPECT_EQ(result.best_epoch, 1);
}

TEST(Trainer, StopsBeforeTheEpochThatWouldExceedTheTime) {
  const TemporaryFolder folder;
  TrainingInput input = input_in(folder.path());
  input.options.loop.epochs = 100000;
  input.options.loop.time_minutes = 0.3 / 60;
  const TrainingResult result = train(plain_network(), input);
  EXPECT_EQ(result.stop_reason, StopReason::time_budget);
  EXPECT_GE(result.history.size(), 1U);
  EXPECT_LT(result.history.size(), 100000U);
  EXPECT_LT(result.seconds, 1);
  // The first epoch is always done.
  input.folder = folder / "short";
  input.options.loop.time_minutes = 1e-9;
  EXPECT_EQ(train(plain_network(), input).history.size(), 1U);
}

TEST(Trainer, NamesEpochStepAndRateWhereTheLossIsNoNumber) {
  const TemporaryFolder folder;
  TrainingInput input = input_in(folder.path());
  input.options.optimizer.learning_rate = 1e30;
  const std::string line = error_line(ErrorCode::failed, [&] { train(small_network(), input); });
  EXPECT_TRUE(contains(line, "training small stopped at epoch 1, step "));
  EXPECT_TRUE(contains(line, " of 4: the loss is "));
  EXPECT_TRUE(contains(line, "at learning rate 1e+30"));
  EXPECT_TRUE(contains(line, "hint: try --lr 1e+29 or --clip-grad 1"));
  EXPECT_FALSE(std::filesystem::exists(checkpoint_in(folder.path())));
}

TEST(Trainer, StopsWhereTheLossHasExplodedAndKeepsTheEpochBefore) {
  const TemporaryFolder folder;
  TrainingInput input = input_in(folder.path());
  input.options.loop.batch_size = 1000;
  input.options.optimizer.learning_rate = 1000;
  input.options.schedule.warmup_epochs = 2;  // steps at rates 0.5, 500, 1000
  const std::string line = error_line(ErrorCode::failed, [&] { train(plain_network(), input); });
  EXPECT_TRUE(contains(line, "diverged: the mean loss of epoch "));
  EXPECT_TRUE(contains(line, ", of the first epoch "));
  EXPECT_TRUE(contains(line, "hint: try --lr 100 or --clip-grad 1"));
  const auto kept = network::load_weights(folder / "weights/last.safetensors");
  EXPECT_EQ(kept.info.extra.at("mien.epoch"), "1");
}

TEST(Trainer, DoesNotKeepWeightsThatItsLastStepHasSpoilt) {
  const TemporaryFolder folder;
  TrainingInput input = input_in(folder.path());
  input.options.loop.epochs = 1;
  input.options.loop.batch_size = 1000;
  input.options.optimizer.learning_rate = 1e39;  // beyond float32: the one step's loss is fine, the weights are not
  for (const bool has_validation : {true, false}) {
    if (!has_validation) input.validation_rows.clear();
    const std::string line = error_line(ErrorCode::failed, [&] { train(plain_network(), input); });
    EXPECT_TRUE(contains(line, "epoch 1 ")) << line;
    EXPECT_TRUE(contains(line, "at learning rate 1e+39"));
    EXPECT_FALSE(std::filesystem::exists(folder / "weights/best.safetensors"));
  }
}

TEST(Trainer, RefusesDataThatDoNotFitTheNetwork) {
  const TemporaryFolder folder;
  TrainingInput input = input_in(folder.path());
  const data::Dataset large = data::draw_faces({.count_per_class = 1, .side = 32});
  input.dataset = &large;
  input.training_rows = {0, 1};
  input.validation_rows = {};
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { train(plain_network(), input); }), "32"));
  input.dataset = &faces();
  input.training_rows = {};
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { train(plain_network(), input); }), "no training rows"));
}

TEST(Trainer, WritesOneLineAnEpochAndMarksTheBest) {
  const TemporaryFolder folder;
  Witness witness;
  const TrainingResult result = train(small_network(), input_in(folder.path()), witness);
  ASSERT_EQ(witness.lines.size(), 4U);
  EXPECT_EQ(witness.lines[0], epoch_line(result.history[0], 4) + "  best");
  EXPECT_EQ(witness.best_epochs.back(), result.best_epoch);
  for (size_t i = 0; i < 4; ++i) {
    const bool is_best =
        std::find(witness.best_epochs.begin(), witness.best_epochs.end(), i + 1) != witness.best_epochs.end();
    EXPECT_EQ(witness.lines[i].ends_with("  best"), is_best);
  }
}

TEST(EpochLine, IsTheReports) {
  const EpochRow row{.epoch = 11,
                     .train_loss = 1.0123451,
                     .train_accuracy = 0.6123451,
                     .validation_loss = 1.0543209,
                     .validation_accuracy = 0.6012341,
                     .learning_rate = 1e-3,
                     .seconds = 10.849};
  EXPECT_EQ(epoch_line(row, 50),
            "[011/050] 10.85 sec(s) Train Acc: 0.612345 Loss: 1.012345 | Val Acc: 0.601234 loss: 1.054321");
  EpochRow without = row;
  without.validation_loss = without.validation_accuracy = std::nan("");
  EXPECT_EQ(epoch_line(without, 1000), "[011/1000] 10.85 sec(s) Train Acc: 0.612345 Loss: 1.012345");
}

TEST(LearningRateFinder, FindsARateBetweenItsBoundsAndLeavesTheNetworkAlone) {
  const TemporaryFolder folder;
  const network::Network network = small_network();
  const network::Network before = network.clone();
  const auto curve = find_learning_rate(network, input_in(folder.path()), 1e-5, 10, 60, silent_listener());
  EXPECT_TRUE(same_weights(network, before));
  EXPECT_FALSE(network.tensor("conv1.weight").grad().defined());
  ASSERT_GT(curve.rates.size(), 30U);
  ASSERT_EQ(curve.losses.size(), curve.rates.size());
  EXPECT_DOUBLE_EQ(curve.rates[0], 1e-5);
  EXPECT_NEAR(curve.rates[2] / curve.rates[1], curve.rates[1] / curve.rates[0], 1e-9);
  EXPECT_TRUE(std::is_sorted(curve.rates.begin(), curve.rates.end()));
  EXPECT_GT(curve.suggestion, 1e-4);
  EXPECT_LT(curve.suggestion, 1);
  EXPECT_EQ(folder.entries(), 0U);

  const auto again = find_learning_rate(network, input_in(folder.path()), 1e-5, 10, 60, silent_listener());
  EXPECT_EQ(again.losses, curve.losses);
}

TEST(LearningRateFinder, WatchesTheWeightedLossOfTheRun) {
  const TemporaryFolder folder;
  TrainingInput input = one_look(folder.path());
  input.training_rows = unequal_rows();
  const network::Network network = plain_network();
  const auto first_loss = [&] {
    return find_learning_rate(network, input, 1e-5, 10, 2, silent_listener()).losses.at(0);
  };
  const at::Tensor logits = logits_of(network, input.training_rows);
  const at::Tensor targets = targets_of(input.training_rows);
  EXPECT_NEAR(first_loss(), cross_entropy(logits, targets).item<double>(), 1e-5);

  input.options.classes.class_weights = "balanced";
  const auto counts = data::class_counts(faces(), input.training_rows);
  at::Tensor weights = at::empty({7}, at::kFloat);
  for (size_t k = 0; k < 7; ++k) {
    weights[static_cast<int64_t>(k)] =
        static_cast<double>(input.training_rows.size()) / (7.0 * static_cast<double>(counts[k]));
  }
  const double weighted = cross_entropy(logits, targets, weights).item<double>();
  EXPECT_NEAR(first_loss(), weighted, 1e-5);
  EXPECT_GT(std::abs(weighted - cross_entropy(logits, targets).item<double>()), 1e-3);
}

TEST(LearningRateFinder, RateThatItSuggestsLearnsFasterThanItsLowest) {
  const TemporaryFolder folder;
  TrainingInput input = input_in(folder / "suggested");
  input.options.optimizer.learning_rate =
      find_learning_rate(small_network(), input, 1e-5, 10, 60, silent_listener()).suggestion;
  const double suggested = train(small_network(), input).history.back().train_loss;
  input.folder = folder / "lowest";
  input.options.optimizer.learning_rate = 1e-5;
  EXPECT_LT(suggested, train(small_network(), input).history.back().train_loss - 0.1);
}

}  // namespace
}  // namespace mien::training
