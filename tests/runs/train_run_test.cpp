#include "mien/runs/train_run.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <set>

#include "core/expect_error.h"
#include "support/small_experiment.h"
#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/data/csv_writer.h"
#include "mien/data/load.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/network/network.h"
#include "mien/recipes/run_recipe.h"
#include "mien/report/canvas.h"
#include "mien/runs/compare_runs.h"
#include "mien/runs/eval_run.h"
#include "mien/runs/predict_run.h"
#include "mien/runs/run_summary.h"
#include "mien/runtime/environment.h"

namespace mien::runs {
using namespace test_support;  // NOLINT(google-build-using-namespace)

namespace {

namespace fs = std::filesystem;

/// One finished run with all its pictures, shared by the tests that read it.
class FinishedRun : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fresh_folder("finished");
    SmallExperiment small(folder_, {{"cells", "sad:neutral"}, {"seed", "5"}});
    run_ = train_task(small.experiment, small.options, heard_).value();
  }
  static inline fs::path folder_;
  static inline fs::path run_;
  static inline Heard heard_;
};

TEST_F(FinishedRun, HoldsEveryFileOfARunFolder) {
  std::vector<std::string> files{"args.toml",
                                 "run.json",
                                 "results.csv",
                                 "weights/best.safetensors",
                                 "weights/last.safetensors",
                                 "checkpoint/last",
                                 "predictions_val.csv",
                                 "predictions_public_test.csv",
                                 "metrics.json",
                                 "metrics_public_test.json",
                                 "confusion_matrix.csv",
                                 "most_confused.csv",
                                 "report.html"};
  if (report::can_draw()) {
    files.insert(files.end(),
                 {"results.png",
                  "confusion_matrix.png",
                  "confusion_matrix_normalized.png",
                  "top_losses.png",
                  "train_batch0.png",
                  "val_batch0_pred.png",
                  "calibration.png",
                  "faces/val.json",
                  "faces/public_test-0.webp",
                  "faces/examples.json"});
  }
  for (const std::string& name : files) {
    EXPECT_TRUE(fs::exists(run_ / name)) << name;
    if (!fs::is_directory(run_ / name)) EXPECT_GT(fs::file_size(run_ / name), 0U) << name;
  }
  const auto is_event = [](const fs::directory_entry& entry) {
    return entry.path().filename().string().starts_with("events.out.tfevents.");
  };
  EXPECT_EQ(std::count_if(fs::directory_iterator(run_), fs::directory_iterator(), is_event), 1);
}

TEST_F(FinishedRun, RecordsHowItCameToBe) {
  const auto run = read_json(run_ / "run.json");
  EXPECT_EQ(run.at("status"), "finished");
  for (const char* key : {"mien", "commit", "compiler", "libtorch", "blas"})
    EXPECT_FALSE(run.at("environment").at(key).get<std::string>().empty()) << key;
  EXPECT_EQ(run.at("environment").at("threads"), 1);
  const auto& facts = run.at("facts");
  EXPECT_EQ(facts.at("seed"), 5);
  EXPECT_EQ(facts.at("device"), "cpu");
  EXPECT_EQ(facts.at("data").at("rows"), 210);
  EXPECT_EQ(facts.at("data").at("checksum"), data::load({.data = "drawn:210"}, silent_listener()).checksum);
  EXPECT_TRUE(contains(facts.at("split").get<std::string>(), "fraction:0.1"));
  EXPECT_GT(facts.at("seconds").get<double>(), 0);
  EXPECT_TRUE(contains(read_text(run_ / "args.toml"), "seed = 5  # command line: --seed 5 (default 0)"));
}

TEST_F(FinishedRun, AgreesWithItselfInEveryFile) {
  const RunSummary summary = read_run(run_);
  EXPECT_EQ(summary.history.size(), 2U);
  EXPECT_DOUBLE_EQ(read_json(run_ / "metrics.json").at("accuracy").get<double>(), summary.validation_metrics->accuracy);
  EXPECT_DOUBLE_EQ(read_json(run_ / "metrics_public_test.json").at("accuracy").get<double>(),
                   summary.test_metrics->accuracy);
  EXPECT_NEAR(summary.history[static_cast<size_t>(summary.best_epoch) - 1].validation_accuracy,
              summary.validation_metrics->accuracy,
              1e-6);
}

TEST_F(FinishedRun, IsPredictedAgainFromItsWeightsAlone) {
  // Every face, the run's test faces among them, from a csv.
  const auto faces = data::load({.data = "drawn:210"}, silent_listener());
  data::write_csv(faces, folder_ / "faces.csv");
  const PredictRunOptions options{.weights = {(run_ / "weights" / "best.safetensors").string()},
                                  .data = {.data = (folder_ / "faces.csv").string()},
                                  .out = (folder_ / "p.csv").string()};
  EXPECT_EQ(predict_run(options, silent_listener()), 210);
  const std::vector<std::string> lines = split(read_text(folder_ / "p.csv"), '\n');
  EXPECT_EQ(lines[0], "id,label");
  const auto own = evaluation::read_predictions_csv(run_ / "predictions_public_test.csv");
  ASSERT_GT(own.size(), 0);
  for (int64_t i = 0; i < own.size(); ++i) {
    const int64_t row = own.rows[static_cast<size_t>(i)];
    EXPECT_EQ(lines[static_cast<size_t>(row) + 1], fmt::format("{},{}", row, own.predicted(i)));
  }
}

TEST_F(FinishedRun, PredictsACsvWithoutLabelsByItsIds) {
  auto faces = data::load({.data = "drawn:7"}, silent_listener());
  faces.labels.assign(7, data::kUnlabeled);
  for (size_t i = 0; i < 7; ++i) faces.ids[i] = 100 + static_cast<int64_t>(i);
  data::write_csv(faces, folder_ / "test.csv", data::csv_style("kaggle-test"));
  const PredictRunOptions options{.weights = {run_.string()},
                                  .data = {.data = (folder_ / "test.csv").string()},
                                  .out = (folder_ / "q.csv").string()};
  EXPECT_EQ(predict_run(options, silent_listener()), 7);
  const std::vector<std::string> lines = split(read_text(folder_ / "q.csv"), '\n');
  ASSERT_EQ(lines.size(), 9U);
  EXPECT_EQ(lines[8], "");
  EXPECT_TRUE(lines[1].ends_with(",0") || parse_int(lines[1].substr(lines[1].find(',') + 1)).value() < 7) << lines[1];
}

TEST_F(FinishedRun, IsJudgedAgainAsItJudgedItself) {
  const WithoutPictures quick;
  data::write_csv(data::load({.data = "drawn:210"}, silent_listener()), folder_ / "faces.csv");
  EvalRunOptions options{.weights = {run_.string()},
                         .data = {.data = (folder_ / "faces.csv").string()},
                         .out = (folder_ / "eval").string(),
                         .usage = "public-test"};
  const auto metrics = eval_run(options, {}, silent_listener());
  EXPECT_EQ(metrics.accuracy, read_run(run_).test_metrics->accuracy);
  EXPECT_TRUE(fs::exists(folder_ / "eval" / "predictions_eval.csv"));
  options.usage = "private-test";
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { eval_run(options, {}, silent_listener()); }), "--final"));
  options.usage = "unseen";
  options.is_final = true;
  EXPECT_TRUE(
      contains(error_line(ErrorCode::bad_data, [&] { eval_run(options, {}, silent_listener()); }), "private-test"));
}

TEST_F(FinishedRun, IsJudgedOnWhatItHasNotSeenUnlessAskedOtherwise) {
  const WithoutPictures quick;
  data::write_csv(data::load({.data = "drawn:280"}, silent_listener()), folder_ / "all.csv");
  SmallExperiment small(folder_, {{"data", (folder_ / "all.csv").string()}, {"name", "on-csv"}});
  const fs::path run = train_task(small.experiment, small.options, silent_listener()).value();
  const RunSummary own = read_run(run);
  const auto& held_out = own.test_metrics.value();
  EvalRunOptions options{.weights = {(run / "weights" / "best.safetensors").string()},
                         .data = {.data = (folder_ / "all.csv").string()},
                         .out = (folder_ / "unseen").string()};
  Heard heard;
  const auto unseen = eval_run(options, {}, heard);
  EXPECT_EQ(unseen.count, held_out.count);
  EXPECT_EQ(unseen.accuracy, held_out.accuracy);
  EXPECT_TRUE(contains(heard.lines, "the run's test rows")) << heard.lines;
  EXPECT_EQ(heard.warnings.find("training"), std::string::npos) << heard.warnings;
  EXPECT_TRUE(contains(read_json(folder_ / "unseen" / "metrics.json").at("judged_on"), "test rows"));
  options.usage = "all";
  EXPECT_EQ(eval_run(options, {}, heard).count, 280);
  EXPECT_TRUE(contains(heard.warnings, "trained the network")) << heard.warnings;
  options.usage = "training";
  EXPECT_EQ(eval_run(options, {}, heard).count, 280 - held_out.count - own.validation_metrics->count);
  EXPECT_TRUE(contains(heard.lines, "training rows: the network has seen them")) << heard.lines;
  options.usage = "unseen";
  options.data.data = "drawn:70";
  heard.lines.clear();
  EXPECT_EQ(eval_run(options, {}, heard).count, 70);
  EXPECT_TRUE(contains(heard.lines, "trained on other data")) << heard.lines;
}

TEST_F(FinishedRun, OnAFractionIsComparedWithOneOnAllRowsOverTheFacesThatBothJudged) {
  const WithoutPictures quick;
  auto faces = data::load({.data = "drawn:280"}, silent_listener());
  for (size_t i = 0; i < 280; ++i) faces.usages[i] = i % 4 == 0 ? data::Usage::public_test : data::Usage::training;
  data::write_csv(faces, folder_ / "parts.csv");
  std::vector<fs::path> runs;
  for (const char* fraction : {"1", "0.5"}) {
    SmallExperiment small(
        folder_,
        {{"data", (folder_ / "parts.csv").string()}, {"fraction", fraction}, {"name", std::string("f") + fraction}});
    runs.push_back(train_task(small.experiment, small.options, silent_listener()).value());
  }
  const auto part = evaluation::read_predictions_csv(runs[1] / "predictions_public_test.csv");
  for (const int64_t row : part.rows) EXPECT_EQ(row % 4, 0) << "not the row of the file";
  EXPECT_EQ(nlohmann::json::parse(compare_runs(runs[0], runs[1], "auto").json).at("count"), 70);
  const auto validation = nlohmann::json::parse(compare_runs(runs[0], runs[0], "val").json);
  EXPECT_EQ(validation.at("labeled_differently"), 0);
}

TEST_F(FinishedRun, WithWeightsThatAreNoNumbersIsRefused) {
  auto loaded = network::load_weights(run_ / "weights" / "best.safetensors");
  loaded.network.tensors().back().detach().fill_(std::nan(""));
  network::save_weights(folder_ / "nan.safetensors", loaded.network, loaded.info);
  const PredictRunOptions options{.weights = {(folder_ / "nan.safetensors").string()},
                                  .data = {.data = "drawn:7"},
                                  .out = (folder_ / "nan.csv").string()};
  EXPECT_TRUE(contains(error_line(ErrorCode::bad_data, [&] { predict_run(options, silent_listener()); }),
                       "expected finite numbers"));
  EXPECT_FALSE(fs::exists(folder_ / "nan.csv"));
}

TEST_F(FinishedRun, IsReportedAgainWithTheSameBytes) {
  const std::string before = read_text(run_ / "report.html");
  fs::remove(run_ / "report.html");
  EXPECT_EQ(recipes::report_task(run_, silent_listener()), run_ / "report.html");
  EXPECT_TRUE(read_text(run_ / "report.html") == before);
}

TEST_F(FinishedRun, DoesNotDifferFromItself) {
  const auto comparison = compare_runs(run_, run_, "auto");
  const auto json = nlohmann::json::parse(comparison.json);
  EXPECT_EQ(json.at("accuracy").at("difference"), 0);
  EXPECT_TRUE(contains(error_line(ErrorCode::bad_data, [&] { compare_runs(run_, folder_ / "none", "auto"); }), "none"));
  EXPECT_TRUE(
      contains(error_line(ErrorCode::bad_data, [&] { compare_runs(run_, run_, "vote"); }), "predictions_vote.csv"));
}

TEST(TrainTask, WarnsOfLeaksAndDropsThemOnRequest) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("leaks");
  const auto faces = data::load({.data = "drawn:140"}, silent_listener());
  const auto twice = data::concatenate(faces, faces);
  data::write_csv(twice, folder / "twice.csv");
  Heard heard;
  SmallExperiment small(folder, {{"data", (folder / "twice.csv").string()}, {"near-copies", "false"}});
  ASSERT_TRUE(train_task(small.experiment, small.options, heard));
  EXPECT_TRUE(contains(heard.warnings, "--drop-leaks"));
  Heard again;
  SmallExperiment clean(folder,
                        {{"data", (folder / "twice.csv").string()}, {"near-copies", "false"}, {"drop-leaks", "true"}});
  const auto run = train_task(clean.experiment, clean.options, again);
  ASSERT_TRUE(run);
  EXPECT_FALSE(contains(again.warnings, "--drop-leaks"));
  EXPECT_TRUE(contains(read_json(*run / "run.json").at("facts").at("leaks").get<std::string>(), "were left out"));
}

TEST(TrainTask, StartsFromTheWeightsOfARunFolder) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("weights");
  SmallExperiment first(folder);
  const auto run = train_task(first.experiment, first.options, silent_listener());
  SmallExperiment second(folder, {{"weights", run->string()}, {"lr", "0"}, {"epochs", "1"}, {"name", "second"}});
  const auto more = train_task(second.experiment, second.options, silent_listener());
  EXPECT_EQ(read_run(*more).history.size(), 1U);
  EXPECT_EQ(second.options.find("weights")->text(), run->string());
}

TEST(TrainTask, RefusesWeightsThatTellOtherClassesApart) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("classes");
  SmallExperiment first(folder);
  const auto run = train_task(first.experiment, first.options, silent_listener());
  auto loaded = network::load_weights(*run / "weights/best.safetensors");
  std::swap(loaded.info.class_names[0], loaded.info.class_names[1]);
  network::save_weights(folder / "other.safetensors", loaded.network, loaded.info);
  SmallExperiment second(folder, {{"weights", (folder / "other.safetensors").string()}, {"name", "second"}});
  EXPECT_TRUE(
      contains(error_line(ErrorCode::usage, [&] { train_task(second.experiment, second.options, silent_listener()); }),
               "tells the classes"));
  EXPECT_FALSE(fs::exists(folder / "second"));
}

TEST(TrainTask, KeepsTheNormalizationOfTheWeightsItStartsFrom) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("normalization");
  SmallExperiment first(folder, {{"normalize", "per-image"}});
  const auto run = train_task(first.experiment, first.options, silent_listener());
  SmallExperiment second(folder, {{"weights", run->string()}, {"epochs", "1"}, {"name", "second"}});
  Heard heard;
  const auto more = train_task(second.experiment, second.options, heard);
  EXPECT_TRUE(contains(heard.lines, "keeps its normalization per-image"));
  EXPECT_EQ(network::load_weights(*more / "weights/best.safetensors").info.normalization.text(), "per-image");
}

TEST(TrainTask, SaysWhatIsWrongWithSortedRowsAndWhyItStopped) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("sorted");
  auto faces = data::load({.data = "drawn:140"}, silent_listener());
  std::vector<int64_t> rows(140);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
  std::stable_sort(rows.begin(), rows.end(), [&](int64_t a, int64_t b) {
    return faces.labels[static_cast<size_t>(a)] < faces.labels[static_cast<size_t>(b)];
  });
  data::write_csv(faces.subset(rows), folder / "sorted.csv", data::csv_style("kaggle-train"));
  SmallExperiment small(folder,
                        {{"data", (folder / "sorted.csv").string()},
                         {"validation", "last:20"},
                         {"class-weights", "balanced"},
                         {"epochs", "1"}});
  Heard heard;
  const auto run = train_task(small.experiment, small.options, heard);
  EXPECT_TRUE(contains(heard.warnings, "no training row is neutral"));
  EXPECT_TRUE(contains(heard.warnings, "no validation row is angry, disgust, fear, happy, sad, surprise"));
  EXPECT_TRUE(contains(heard.lines, "class weights: angry "));
  EXPECT_TRUE(contains(heard.lines, "trained for all 1 epochs; best epoch 1"));
  EXPECT_GT(read_json(*run / "run.json").at("facts").at("class_weights").at("angry").get<double>(), 0);
}

TEST(TrainTask, WarnsOfALossFarAboveGuessing) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("absurd");
  SmallExperiment small(folder, {{"lr", "3"}, {"epochs", "1"}});
  Heard heard;
  ASSERT_TRUE(train_task(small.experiment, small.options, heard));
  EXPECT_TRUE(contains(heard.warnings, "the learning rate 3 is probably too high"));
}

TEST(TrainTask, LeavesAFinishedRunSmall) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("small");
  SmallExperiment small(folder);
  const auto run = train_task(small.experiment, small.options, silent_listener());
  EXPECT_LT(fs::file_size(*run / "checkpoint/last/state.safetensors"), 4096U);
}

/// Wants the work to end after the first epoch's line.
struct StopsAfterAnEpoch final : ProgressListener {
  void line(std::string_view text) override { has_epoch = has_epoch || text.starts_with("[001/"); }
  void warning(std::string_view) override {}
  void progress(std::string_view, int64_t, int64_t, std::string_view) override {}
  bool stop_requested() const override { return has_epoch; }
  bool has_epoch = false;
};

TEST(TrainTask, GoesOnWithTheThreadsItWasBegunWithAndTellsTensorBoardEveryEpoch) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("threads");
  SmallExperiment small(folder, {{"epochs", "3"}, {"threads", "0"}});
  runtime::configure_threads(2);
  StopsAfterAnEpoch stopping;
  EXPECT_FALSE(train_task(small.experiment, small.options, stopping));
  runtime::configure_threads(1);
  std::set<fs::path> before;
  for (const auto& entry : fs::directory_iterator(folder / "runs/small")) before.insert(entry.path());
  Heard heard;
  const auto run = train_task(small.experiment, small.options, heard);
  ASSERT_TRUE(run);
  EXPECT_EQ(*run, folder / "runs/small");
  EXPECT_TRUE(contains(heard.lines, "computing with 2 threads, as the run was begun"));
  EXPECT_EQ(heard.warnings.find("rounding"), std::string::npos);
  EXPECT_EQ(runtime::environment().threads, 1) << "afterwards as before";
  int points = 0;
  for (const auto& entry : fs::directory_iterator(*run)) {
    if (before.contains(entry.path()) || entry.path().filename().string().find("tfevents") == std::string::npos)
      continue;
    const std::string events = read_text(entry.path());
    for (size_t at = events.find("loss/train"); at != std::string::npos; at = events.find("loss/train", at + 1))
      ++points;
  }
  EXPECT_EQ(points, 3) << "the epochs before the stop are written again";
}

TEST(TrainTask, StoppedBeforeItsFirstStepLeavesNoFolder) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("stopped");
  SmallExperiment small(folder);
  StopsAfterAnEpoch stopping;
  stopping.has_epoch = true;
  error_line(ErrorCode::interrupted, [&] { train_task(small.experiment, small.options, stopping); });
  EXPECT_FALSE(fs::exists(folder / "runs/small"));
}

/// Puts a folder where a run is about to write a picture, as soon as the run says its first word.
struct Obstructing : Heard {
  explicit Obstructing(fs::path top) : folder(std::move(top)) {}
  void line(std::string_view text) override {
    Heard::line(text);
    std::vector<fs::path> runs;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.path().filename() == "args.toml") runs.push_back(entry.path().parent_path());
    }
    for (const fs::path& run : runs) fs::create_directories(run / "results.png" / "in the way");
  }
  fs::path folder;
};

TEST(TrainTask, IsFinishedThoughAPictureCannotBeWritten) {
  if (!report::can_draw()) GTEST_SKIP() << "needs pictures";
  const fs::path folder = fresh_folder("obstructed");
  SmallExperiment small(folder, {{"epochs", "1"}});
  Obstructing heard(folder);
  const auto run = train_task(small.experiment, small.options, heard);
  ASSERT_TRUE(run);
  EXPECT_EQ(read_json(*run / "run.json").at("status"), "finished");
  EXPECT_TRUE(fs::exists(*run / "confusion_matrix.png")) << "the pictures behind it are drawn";
  EXPECT_TRUE(contains(heard.warnings, "a picture of the run is missing: ")) << heard.warnings;
  EXPECT_TRUE(contains(heard.warnings, "results.png")) << heard.warnings;
}

}  // namespace
}  // namespace mien::runs
