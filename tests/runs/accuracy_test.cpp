#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/expect_error.h"
#include "support/small_experiment.h"
#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mien/core/files.h"
#include "mien/core/safetensors.h"
#include "mien/core/text.h"
#include "mien/data/csv_writer.h"
#include "mien/data/load.h"
#include "mien/evaluation/evaluator.h"
#include "mien/evaluation/label_issues.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/network/shipped.h"
#include "mien/recipes/sweep.h"
#include "mien/runs/audit_run.h"
#include "mien/runs/eval_run.h"
#include "mien/runs/pack_run.h"
#include "mien/runs/predict_run.h"
#include "mien/runs/train_run.h"
#include "mien/runs/voters.h"
#include "mien/training/loss.h"

namespace mien::runs {
using namespace test_support;  // NOLINT(google-build-using-namespace)

namespace {

namespace fs = std::filesystem;
using Settings = std::vector<std::pair<std::string, std::string>>;

/// Drawn faces as a csv, some of them of usage PrivateTest.
fs::path faces_csv(const fs::path& folder, int64_t count, int64_t private_test) {
  auto faces = data::load({.data = "drawn:" + std::to_string(count)}, silent_listener());
  for (int64_t i = 0; i < private_test; ++i)
    faces.usages[static_cast<size_t>(count - 1 - i)] = data::Usage::private_test;
  data::write_csv(faces, folder / "faces.csv");
  return folder / "faces.csv";
}

fs::path trained(const fs::path& folder, const std::string& name, Settings more) {
  more.insert(more.end(), {{"data", (folder / "faces.csv").string()}, {"name", name}});
  SmallExperiment small(folder, more);
  return train_task(small.experiment, small.options, silent_listener()).value();
}

TEST(Views, AreMovedCroppedAndMirroredFacesOfTheSameSize) {
  const at::Tensor images = at::arange(2 * 48 * 48, at::kFloat).reshape({2, 1, 48, 48});
  for (const std::string& name : evaluation::views_names()) {
    const auto kind = evaluation::views_from_text(name);
    const auto views = evaluation::views_of(images, kind);
    EXPECT_EQ(static_cast<int64_t>(views.size()), evaluation::count_of(kind)) << name;
    for (const at::Tensor& view : views) EXPECT_EQ(view.sizes(), images.sizes()) << name;
  }
  const auto shifts = evaluation::views_of(images, evaluation::Views::shifts);
  // The first one shows at column x what was at x - 2, its own edge repeated.
  EXPECT_EQ(shifts[1][0][0][5][10].item<float>(), images[0][0][5][8].item<float>());
  EXPECT_EQ(shifts[1][0][0][5][0].item<float>(), images[0][0][5][0].item<float>());
  const auto ten = evaluation::views_of(images, evaluation::Views::ten_crop);
  EXPECT_TRUE(at::equal(ten[5], ten[0].flip({3})));
}

TEST(DistillationLoss, IsZeroGradientWhereNetworkAndTeacherAgree) {
  const at::Tensor teacher = at::randn({4, 7});
  at::Tensor logits = teacher.clone().requires_grad_(true);
  training::distillation_loss(logits, teacher, 4).backward();
  EXPECT_LT(logits.grad().abs().max().item<double>(), 1e-6);
}

/// A run on faces of all three usages.
class JudgedRun : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const WithoutPictures quick;
    folder_ = fresh_folder("accuracy");
    faces_csv(folder_, 280, 14);
    run_ = trained(folder_, "first", {{"epochs", "4"}});
  }
  static EvalRunOptions final_options(const fs::path& run) {
    return {.weights = {run.string()},
            .data = {.data = (folder_ / "faces.csv").string()},
            .out = (folder_ / "final").string(),
            .is_final = true};
  }
  static inline fs::path folder_;
  static inline fs::path run_;
};

TEST_F(JudgedRun, IsJudgedOnPrivateTestOnceAndNoSecondNetworkUnlessAgain) {
  const WithoutPictures quick;
  EXPECT_EQ(eval_run(final_options(run_), {}, silent_listener()).count, 14);
  EXPECT_EQ(eval_run(final_options(run_), {}, silent_listener()).count, 14) << "the same network may be asked again";
  EXPECT_EQ(read_json(run_ / "final.json").size(), 2U);
  const fs::path second = trained(folder_, "second", {{"seed", "7"}});
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { eval_run(final_options(second), {}, silent_listener()); }),
                       "was judged on PrivateTest before"));
  EXPECT_FALSE(fs::exists(second / "final.json"));
  EvalRunOptions again = final_options(second);
  again.again = true;
  Heard heard;
  EXPECT_EQ(eval_run(again, {}, heard).count, 14);
  EXPECT_TRUE(contains(heard.warnings, "too good"));
  EXPECT_TRUE(read_json(second / "final.json")[0].at("again").get<bool>());
}

TEST_F(JudgedRun, ReadsNoPrivateTestLabelOtherwise) {
  const WithoutPictures quick;
  EvalRunOptions options = final_options(run_);
  options.is_final = false;
  options.usage = "all";
  EXPECT_EQ(eval_run(options, {}, silent_listener()).count, 266);
  options.usage = "private-test";
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { eval_run(options, {}, silent_listener()); }), "--final"));
}

TEST_F(JudgedRun, StoresATemperatureThatPredictionsUse) {
  const fs::path weights = folder_ / "calibrated.safetensors";
  const auto outcome = calibrate_run(
      {.weights = run_.string(), .out = weights.string(), .data = {.data = (folder_ / "faces.csv").string()}},
      silent_listener());
  EXPECT_NE(outcome.temperature, 1);
  const auto predicted = [&](const fs::path& file) {
    const auto faces = data::load({.data = "drawn:21"}, silent_listener());
    std::vector<int64_t> rows(21);
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
    return Voters::load({file.string()}).predict("mean-logit", {}, faces, rows, silent_listener());
  };
  const auto plain = predicted(run_);
  const auto calibrated = predicted(weights);
  for (size_t i = 0; i < plain.logits.size(); ++i)
    ASSERT_NEAR(calibrated.logits[i], plain.logits[i] / outcome.temperature, 1e-9);
  EXPECT_TRUE(contains(outcome.text, "not fitted on"));
}

TEST_F(JudgedRun, IsCalibratedOnFacesWhoseClassesComeInAnotherOrder) {
  auto faces = data::load({.data = "drawn:70"}, silent_listener());
  const auto temperature_on = [&](const std::string& file) {
    CalibrateOptions options{.weights = run_.string(), .data = {.data = (folder_ / file).string()}};
    options.out = (folder_ / "calibrated.safetensors").string();
    return calibrate_run(options, silent_listener()).temperature;
  };
  data::write_csv(faces, folder_ / "same.csv");
  std::string words = "emotion,pixels\n";
  for (int64_t i = 0; i < faces.size(); ++i) {
    words += std::to_string(6 - faces.labels[static_cast<size_t>(i)]) + ",";
    for (const uint8_t value : faces.image(i)) words += std::to_string(value) + " ";
    words.back() = '\n';
  }
  write_atomic(folder_ / "other.csv", words);
  CalibrateOptions other{.weights = run_.string(), .data = {.data = (folder_ / "other.csv").string()}};
  other.data.classes = "neutral,surprise,sad,happy,fear,disgust,angry";
  other.out = (folder_ / "other.safetensors").string();
  EXPECT_EQ(calibrate_run(other, silent_listener()).temperature, temperature_on("same.csv"));
}

TEST_F(JudgedRun, IsPackedWithACardOfMeasuredFigures) {
  const PackOptions options{.run = run_.string(),
                            .name = "tiny",
                            .out = (folder_ / "models").string(),
                            .data = {.data = (folder_ / "faces.csv").string()}};
  const fs::path weights = pack_run(options, silent_listener());
  const std::string card = read_text(folder_ / "models" / "tiny.md");
  const double accuracy = read_json(run_ / "metrics_public_test.json").at("accuracy");
  EXPECT_TRUE(contains(card, fmt::format("| accuracy | {:.2f} %", 100 * accuracy)));
  for (const char* part : {"## Trained on", "## Calibration", "## Faces it fails on", "## Not for", "epochs = 4"})
    EXPECT_TRUE(contains(card, part));
  EXPECT_GT(stored_temperature(network::load_weights(weights).info), 0);
  EXPECT_TRUE(contains(error_line(ErrorCode::bad_data,
                                  [&] {
                                    PackOptions other = options;
                                    other.data.data = "drawn:70";
                                    pack_run(other, silent_listener());
                                  }),
                       "not what it was trained on"));
}

TEST_F(JudgedRun, TeachesASmallerNetworkItsLogits) {
  const WithoutPictures quick;
  const Settings settings{{"teacher", run_.string()}, {"distill-weight", "1"}, {"epochs", "1"}, {"calibrate", "true"}};
  const fs::path student = trained(folder_, "student", settings);
  const SafetensorsFile stored = SafetensorsFile::open(student / "teacher.safetensors");
  const auto logits = stored.floats("logits");
  ASSERT_EQ(logits.size(), 280U * 7);
  const auto taught = evaluation::read_predictions_csv(run_ / "predictions_public_test.csv");
  const auto row = static_cast<size_t>(taught.rows[0]);
  double sum = 0;
  for (size_t k = 0; k < 7; ++k) sum += std::exp(static_cast<double>(logits[row * 7 + k]));
  EXPECT_NEAR(std::exp(static_cast<double>(logits[row * 7])) / sum, taught.probability_row(0)[0], 1e-4);
  EXPECT_FALSE(run_fact(student, "temperature").empty());
  EXPECT_NE(read_text(student / "results.csv"),
            read_text(trained(folder_, "untaught", {{"epochs", "1"}}) / "results.csv"));
}

TEST_F(JudgedRun, KeepsTheLastEpochWhereAsked) {
  const WithoutPictures quick;
  const fs::path run = trained(folder_, "last", {{"keep", "last"}, {"epochs", "3"}});
  EXPECT_EQ(read_json(run / "run.json").at("facts").at("best_epoch"), 3);
  EXPECT_EQ(read_text(run / "weights" / "best.safetensors"), read_text(run / "weights" / "last.safetensors"));
}

TEST_F(JudgedRun, RenewsBatchNormStatisticsOfTheAverage) {
  const WithoutPictures quick;
  const Settings settings{{"model-ema-decay", "0.99"}, {"epochs", "1"}};
  Settings renewed = settings;
  renewed.emplace_back("model-ema-renew", "3");
  const auto averaged = network::load_weights(weights_file(trained(folder_, "averaged", settings)));
  const auto fresh = network::load_weights(weights_file(trained(folder_, "renewed", renewed)));
  EXPECT_TRUE(at::equal(averaged.network.tensor("conv1.weight"), fresh.network.tensor("conv1.weight")));
  EXPECT_FALSE(
      at::equal(averaged.network.tensor("batch_norm1.running_mean"), fresh.network.tensor("batch_norm1.running_mean")));
}

TEST(Audit, RanksEveryRowOnceAndWritesCorrectionsThatTrainingTakes) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("audit");
  auto faces = data::load({.data = "drawn:420"}, silent_listener());
  std::fill(faces.usages.begin(), faces.usages.end(), data::Usage::training);
  data::write_csv(faces, folder / "faces.csv");
  SmallExperiment small(folder, {{"data", (folder / "faces.csv").string()}, {"name", "audit"}, {"epochs", "1"}});
  AuditOptions audit{.folds = 3, .suspects = 20};
  const auto outcome = audit_task(small.experiment, small.options, audit, silent_listener());
  ASSERT_TRUE(outcome.has_value());
  const auto lines = split(read_text(outcome->folder / "suspects.csv"), '\n');
  ASSERT_EQ(lines.size(), 422U);
  std::set<int64_t> rows;
  for (size_t i = 1; i <= 420; ++i) rows.insert(*parse_int(split(lines[i], ',')[1]));
  EXPECT_EQ(rows.size(), 420U);
  const auto corrected = data::load(
      {.data = (folder / "faces.csv").string(), .corrections = (outcome->folder / "corrections.csv").string()},
      silent_listener());
  EXPECT_NE(corrected.labels, faces.labels);
  EXPECT_EQ(audit_task(small.experiment, small.options, audit, silent_listener())->json, outcome->json);
}

TEST(Audit, FindsLabelsThatWereChangedByEachDetectorBetterThanChance) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("audit-changed");
  write_atomic(
      folder / "learner.toml",
      "name = \"learner\"\ninput = [1, 48, 48]\nlayers = [ { conv = 8, kernel = 5, stride = 2 }, \"batch_norm\", "
      "\"relu\", { max_pool = 2 }, { conv = 16, kernel = 3 }, \"batch_norm\", \"relu\", { max_pool = 2 }, "
      "\"flatten\", { dense = 7 } ]\n");
  auto faces = data::load({.data = "drawn:700"}, silent_listener());
  std::fill(faces.usages.begin(), faces.usages.end(), data::Usage::training);
  const std::vector<int32_t> before = faces.labels;
  for (size_t i = 0; i < faces.labels.size(); i += 8) faces.labels[i] = (faces.labels[i] + 3) % 7;
  data::write_csv(faces, folder / "faces.csv");
  SmallExperiment small(folder,
                        {{"data", (folder / "faces.csv").string()},
                         {"network", (folder / "learner.toml").string()},
                         {"name", "audit"},
                         {"epochs", "15"},
                         {"lr", "0.003"},
                         {"batch-size", "32"}});
  const auto outcome = audit_task(small.experiment, small.options, {.folds = 3}, silent_listener());
  ASSERT_TRUE(outcome.has_value());
  const auto lines = split(read_text(outcome->folder / "suspects.csv"), '\n');
  const auto names = split(lines[0], ',');
  std::vector<bool> is_wrong;
  std::map<std::string, std::vector<double>> doubts;
  for (size_t i = 1; i <= faces.labels.size(); ++i) {
    const auto cells = split(lines[i], ',');
    const auto row = static_cast<size_t>(*parse_int(cells[1]));
    is_wrong.push_back(faces.labels[row] != before[row]);
    for (size_t c = 10; c < names.size(); ++c) doubts[names[c]].push_back(*parse_double(cells[c]));
  }
  EXPECT_EQ(doubts.size(), 6U);
  for (const auto& [name, doubt] : doubts) {
    const auto quality = evaluation::ranking_quality(doubt, is_wrong, {});
    EXPECT_GT(quality.average_precision, 1.5 * 0.125) << name;
  }
}

class SweepFile : public testing::Test {
 protected:
  SweepFile() : folder_(fresh_folder("sweep")) {}
  fs::path file(const std::string& head, const std::string& values) const {
    write_atomic(folder_ / "try.toml",
                 "[sweep]\nseeds = 2\n" + head +
                     "\n[options]\ndata = \"drawn:140\"\nthreads = 1\nepochs = 2\nnetwork = \"" +
                     (folder_ / "small.toml").string() + "\"\n[values]\n" + values + "\n");
    return folder_ / "try.toml";
  }
  fs::path folder_;
};

TEST_F(SweepFile, TrainsEveryCombinationOnceAndGoesOnWithMoreValues) {
  const WithoutPictures quick;
  const auto first =
      recipes::run_sweep(recipes::load_sweep(file("", "lr = [0.001, 0.01]")), folder_ / "runs", silent_listener());
  ASSERT_TRUE(first.has_value());
  ASSERT_EQ(first->rows.size(), 2U);
  EXPECT_GE(first->rows[0].mean, first->rows[1].mean);
  for (const auto& row : first->rows) {
    ASSERT_EQ(row.accuracies.size(), 2U);
    EXPECT_NEAR(row.mean, (row.accuracies[0] + row.accuracies[1]) / 2, 1e-12);
    EXPECT_LT(row.low, row.mean);
    for (const std::string& run : row.folders) EXPECT_TRUE(fs::exists(fs::path(run) / "report.html"));
  }
  const auto written = fs::last_write_time(fs::path(first->rows[0].folders[0]) / "results.csv");
  const auto more = recipes::run_sweep(
      recipes::load_sweep(file("", "lr = [0.001, 0.01, 0.003]")), folder_ / "runs", silent_listener());
  EXPECT_EQ(more->rows.size(), 3U);
  EXPECT_EQ(fs::last_write_time(fs::path(first->rows[0].folders[0]) / "results.csv"), written);
  EXPECT_EQ(split(read_text(more->folder / "sweep.csv"), '\n').size(), 5U);
}

TEST_F(SweepFile, HalvesItsCandidatesRungByRung) {
  const WithoutPictures quick;
  const auto outcome = recipes::run_sweep(
      recipes::load_sweep(file("strategy = \"halving\"\neta = 2\nfirst-epochs = 1", "lr = [0.001, 0.01, 0.0001]")),
      folder_ / "halving",
      silent_listener());
  ASSERT_EQ(outcome->rows.size(), 5U);
  EXPECT_EQ(outcome->rows[0].epochs, 2);
  EXPECT_EQ(outcome->rows[1].epochs, 2);
  EXPECT_EQ(outcome->rows[2].epochs, 1);
}

TEST_F(SweepFile, StopsWhereTheMinutesWouldBePassed) {
  const WithoutPictures quick;
  const auto outcome = recipes::run_sweep(
      recipes::load_sweep(file("minutes = 0.00001", "lr = [0.001, 0.01]")), folder_ / "short", silent_listener());
  EXPECT_FALSE(outcome->is_complete);
  EXPECT_LT(outcome->rows.size(), 2U);
}

TEST_F(SweepFile, DrawsDifferentCombinationsAtRandom) {
  const auto sweep = recipes::load_sweep(file("strategy = \"random\"\nsamples = 5",
                                              "lr = [0.001, 0.01, 0.1]\nflip = [0, 0.5]\nopt = [\"adam\", \"sgd\"]"));
  auto drawn = recipes::combinations(sweep);
  ASSERT_EQ(drawn.size(), 5U);
  EXPECT_EQ(drawn, recipes::combinations(sweep));
  std::sort(drawn.begin(), drawn.end());
  EXPECT_EQ(std::unique(drawn.begin(), drawn.end()), drawn.end());
}

TEST_F(SweepFile, SaysWhereItIsWrong) {
  const auto refusal = [&](const std::string& head, const std::string& values) {
    return error_line(ErrorCode::usage, [&] { recipes::load_sweep(file(head, values)); });
  };
  EXPECT_TRUE(contains(refusal("", "lrr = [0.1]"), "lrr"));
  EXPECT_TRUE(contains(refusal("", "lr = 0.1"), "try.toml:10"));
  EXPECT_TRUE(contains(refusal("", "lr = [-1]"), "lr"));
  EXPECT_TRUE(contains(refusal("strategy = \"all\"", "lr = [0.1]"), "grid"));
  EXPECT_TRUE(contains(refusal("", "seed = [1, 2]"), "cannot be swept"));
  EXPECT_TRUE(contains(refusal("recipe = \"hw3-2017\"", "lr = [0.1]"), "several runs"));
}

TEST(ShippedModels, AreTakenByNameWhereverWeightsAreNamed) {
  for (const auto& model : network::shipped_models()) {
    EXPECT_TRUE(fs::exists(model.card)) << model.name;
    EXPECT_EQ(weights_file(model.name), model.weights);
    const fs::path out = fresh_folder("shipped") / "out.csv";
    EXPECT_EQ(
        predict_run({.weights = {model.name}, .data = {.data = "drawn:7"}, .out = out.string()}, silent_listener()), 7);
  }
  EXPECT_EQ(weights_file("no-such-model"), "no-such-model");
}

}  // namespace
}  // namespace mien::runs
