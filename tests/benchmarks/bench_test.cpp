// What the benches claim: what they ask PyTorch, what they make of its answers, and how they vary a network.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "core/temporary_folder.h"
#include "support/small_experiment.h"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mien/benchmarks/bench_process.h"
#include "mien/benchmarks/bench_rounds.h"
#include "mien/benchmarks/bench_scaling.h"
#include "mien/benchmarks/bench_task.h"
#include "mien/core/files.h"
#include "mien/core/parallel.h"
#include "mien/core/progress.h"
#include "mien/core/text.h"
#include "mien/network/graph/graph.h"
#include "mien/runtime/roofline.h"

namespace mien::benchmarks {
using namespace test_support;  // NOLINT(google-build-using-namespace)

namespace {

using nlohmann::json;

constexpr const char* kTinyNetwork = R"(name = "tiny"
input = [1, 48, 48]
layers = [ { conv = 4, kernel = 3, stride = 4 }, "relu", "flatten", { dense = 8 }, "relu", { dense = 7 } ]
)";

/// A "python" that measures 100 where glibc's thresholds are set and 50 where they are not.
std::string fake_python(const TemporaryFolder& folder) {
  const auto path = folder / "python";
  write_atomic(path,
               "#!/bin/sh\ncat > /dev/null\nvalue=50\n"
               "[ \"$MALLOC_MMAP_THRESHOLD_/$MALLOC_TRIM_THRESHOLD_/$MALLOC_TOP_PAD_\" = "
               "4294967296/8589934592/268435456 ] && value=100\n"
               "echo \"{\\\"value\\\": $value, \\\"high\\\": 1, \\\"version\\\": \\\"7.8.9\\\"}\"\n");
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path.string();
}

BenchOptions tiny_bench(const TemporaryFolder& folder) {
  write_atomic(folder / "tiny.toml", kTinyNetwork);
  return {.networks = {(folder / "tiny.toml").string()},
          .batch_size = 4,
          .rounds = 2,
          .seconds = 0.01,
          .python = fake_python(folder),
          .machine_rates = false};
}

void expect_narrow(const std::string& text) {
  for (const std::string& line : split(text, '\n')) EXPECT_LE(line.size(), 140U) << line;
}

/// GFLOP/s of the three loops that everybody writes first, on one thread: the best of three.
double naive_gflops() {
  constexpr size_t kSide = 160;
  const std::vector<float> a(kSide * kSide, 0.5F);
  const std::vector<float> b(kSide * kSide, 0.25F);
  std::vector<float> product(kSide * kSide);
  double best = 0;
  for (int repetition = 0; repetition < 3; ++repetition) {
    const auto start = std::chrono::steady_clock::now();
    for (size_t i = 0; i < kSide; ++i) {
      for (size_t j = 0; j < kSide; ++j) {
        float sum = 0;
        for (size_t k = 0; k < kSide; ++k) sum += a[i * kSide + k] * b[k * kSide + j];
        product[i * kSide + j] = sum;
      }
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, 2e-9 * kSide * kSide * kSide / seconds);
  }
  EXPECT_FLOAT_EQ(product.back(), 0.125F * kSide);
  return best;
}

/// Whether `holds` in one of many tries: other programs may take the processor away in some.
template <class Claim>
bool holds_once(const Claim& holds) {
  for (int attempt = 0; attempt < 20; ++attempt) {
    if (holds()) return true;
  }
  return false;
}

/// While it lives, Mien's own loops run on `count` threads.
class Threads {
 public:
  explicit Threads(int count) : before_(threads()) { set_threads(count); }
  ~Threads() { set_threads(before_); }

 private:
  int before_;
};

TEST(MachineSpeed, IsAtLeastThatOfANaiveLoopOnOneThread) {
  EXPECT_TRUE(holds_once([] { return runtime::matrix_product_gflops(0.02) > naive_gflops(); }));
  EXPECT_TRUE(holds_once([] { return runtime::convolution_gflops(0.02) > naive_gflops(); }));
  EXPECT_TRUE(holds_once([] { return runtime::register_gflops(0.02) > naive_gflops(); }));
}

TEST(MachineSpeed, OfRegistersIsTheCeilingOfTheOthers) {
  EXPECT_TRUE(holds_once([] {
    const double ceiling = runtime::register_gflops(0.02);
    return ceiling > runtime::matrix_product_gflops(0.02) && ceiling > runtime::convolution_gflops(0.02);
  }));
}

TEST(MachineSpeed, OfRegistersIsWhatOneProcessorsClockAllows) {
  const Threads one(1);
  const double lanes = runtime::register_instructions() == "AVX-512" ? 16
                       : runtime::register_instructions() == "AVX2"  ? 8
                                                                     : 4;
  const double per_lane = runtime::register_gflops(0.02) / (2 * lanes);  // multiply-adds a lane and nanosecond
  EXPECT_GT(per_lane, 0.1);
  EXPECT_LT(per_lane, 4 * 6.5);  // at most four units at 6.5 GHz
}

TEST(MachineSpeed, OfRegistersGrowsWithTheThreads) {
  const Threads all_cores(0);
  if (threads() < 2) GTEST_SKIP() << "one core";
  const auto rate = [](int count) {
    const Threads limited(count);
    return runtime::register_gflops(0.02);
  };
  EXPECT_TRUE(holds_once([&] { return rate(2) > 1.2 * rate(1); }));
}

TEST(RunChild, SetsAndTakesAwayVariables) {
  ::setenv("MIEN_TEST_TAKEN", "there", 1);
  ::setenv("MIEN_TEST_SET", "before", 1);
  ::setenv("MIEN_TEST_KEPT", "kept", 1);
  const ChildResult child = run_child({"sh", "-c", "echo ${MIEN_TEST_TAKEN-none} $MIEN_TEST_SET $MIEN_TEST_KEPT"},
                                      "",
                                      {{"MIEN_TEST_TAKEN", {}}, {"MIEN_TEST_SET", "after"}});
  EXPECT_TRUE(child.succeeded);
  EXPECT_EQ(child.out, "none after kept\n");
}

TEST(RunChild, KeepsTheLastLineOfWhatWentWrong) {
  const ChildResult child =
      run_child({"sh", "-c", "echo first >&2; echo 'ImportError: no torch' >&2; echo >&2; exit 1"});
  EXPECT_FALSE(child.succeeded);
  EXPECT_EQ(child.error, "ImportError: no torch");
}

TEST(Bench, ShowsPytorchAsInstalledAndWithoutPageFaultsWithARatioEach) {
  const TemporaryFolder folder;
  const BenchOptions options = tiny_bench(folder);
  ::setenv("MALLOC_TOP_PAD_", "1", 1);  // "as installed" holds whatever Mien's own runtime::environment says
  for (const BenchReport& report :
       {bench_train(options, silent_listener()), bench_eval(options, 16, silent_listener())}) {
    const json result = json::parse(report.json);
    EXPECT_EQ(result.at("pytorch"), "7.8.9");
    EXPECT_EQ(result.at("without_page_faults").at("MALLOC_TOP_PAD_"), "268435456");
    const json& row = result.at("networks").at(0);
    const bool is_rate = row.contains("mien_faces_per_second");
    const std::string unit = is_rate ? "faces_per_second" : "seconds";
    const json& installed = row.at("pytorch_as_installed");
    const json& tuned = row.at("pytorch_without_page_faults");
    EXPECT_EQ(installed.at(unit), 50);
    EXPECT_EQ(tuned.at(unit), 100);
    for (const char* key : {"ratio", "ratio_low", "ratio_high"}) {
      EXPECT_NEAR(tuned.at(key).get<double>() / installed.at(key).get<double>(), is_rate ? 0.5 : 2, 1e-6) << key;
    }
    EXPECT_NEAR(
        installed.at("ratio_high").get<double>(), installed.at("ratio").get<double>(), 1e-6);  // the upper of two
    EXPECT_LE(installed.at("ratio_low"), installed.at("ratio_high"));
    for (const char* words : {"PyTorch as installed", "PyTorch without page faults", "tiny"}) {
      EXPECT_NE(report.text.find(words), std::string::npos) << words;
    }
    expect_narrow(report.text);
  }
  ::unsetenv("MALLOC_TOP_PAD_");
}

TEST(Bench, GivesSharesOfTheRatesItNames) {
  const TemporaryFolder folder;
  BenchOptions options = tiny_bench(folder);
  options.machine_rates = true;
  options.python = "";
  const BenchReport report = bench_train(options, silent_listener());
  const json result = json::parse(report.json);
  for (const char* rate : {"register_gflops", "convolution_gflops", "sgemm_gflops"})
    EXPECT_GT(result.at(rate), 0.5) << rate;
  for (const char* words :
       {"(a) multiply-adds in registers", "(b) libtorch's 3x3 convolution", "(c) sgemm", "of (c)"}) {
    EXPECT_NE(report.text.find(words), std::string::npos) << words;
  }
  EXPECT_FALSE(result.at("networks").at(0).contains("pytorch_as_installed"));
  expect_narrow(report.text);
}

TEST(BenchScaling, WritesACsvOfEveryQuestionAndTheLineOfTheEpochs) {
  const TemporaryFolder folder;
  const BenchOptions options = tiny_bench(folder);
  const ScalingOptions scaling{.by = {"batch", "threads", "side", "width", "data"},
                               .out = (folder / "out").string(),
                               .seconds = 0.01,
                               .most = 4};
  const BenchReport report = bench_scaling(options.networks.front(), options, scaling, silent_listener());
  const json result = json::parse(report.json);
  const auto rows_of = [&](const std::string& by) {
    return split(read_text(folder / "out" / ("tiny-" + by + ".csv")), '\n');
  };
  EXPECT_EQ(rows_of("batch").front(), "batch,mien,pytorch_as_installed,pytorch_without_page_faults");
  EXPECT_EQ(rows_of("batch").size(), 5U);  // 1, 2, 4 and the end of the last line
  EXPECT_TRUE(rows_of("batch").at(1).ends_with(",50,100"));
  EXPECT_EQ(rows_of("side").size(), 5U);
  EXPECT_EQ(rows_of("width").size(), 7U);
  EXPECT_EQ(rows_of("data").front(), "data,mien");
  EXPECT_EQ(rows_of("data").size(), 8U);
  EXPECT_GT(result.at("data_line").at("r_squared"), 0);
  EXPECT_LE(result.at("data_line").at("r_squared"), 1);
  EXPECT_EQ(result.at("threads").at(0).at("x"), 1);
  expect_narrow(report.text);
}

TEST(BenchScaling, VariesSideAndWidthOfTheNetworksFile) {
  const network::Graph leaky4 = network::load_graph("leaky4");
  EXPECT_EQ(with_side(leaky4, 48).total_parameters(), leaky4.total_parameters());
  EXPECT_EQ(with_width(leaky4, 1).total_parameters(), leaky4.total_parameters());
  const network::Graph large = with_side(leaky4, 96);
  EXPECT_EQ(large.input_shape().height, 96);
  EXPECT_EQ(large.total_parameters() - leaky4.total_parameters(), 3 * 9 * 128 * 256);  // 6 x 6 for 3 x 3 into dense 256
  const network::Graph wide = with_width(leaky4, 2);
  EXPECT_EQ(wide.classes(), 7);
  EXPECT_EQ(wide.layers.at(1).output_shape.channels, 64);
  EXPECT_NEAR(static_cast<double>(wide.multiply_adds()) / static_cast<double>(leaky4.multiply_adds()), 4, 0.5);
}

TEST(FitLine, GivesTheLeastSquaresLineAndItsShareOfTheVariance) {
  const Line exact = fit_line({1, 2, 4}, {5, 7, 11});
  EXPECT_NEAR(exact.intercept, 3, 1e-12);
  EXPECT_NEAR(exact.slope, 2, 1e-12);
  EXPECT_NEAR(exact.r_squared, 1, 1e-12);
  const Line noisy = fit_line({1, 2, 3, 4}, {6, 5, 7, 10});  // the textbook's example: y = 3.5 + 1.4 x
  EXPECT_NEAR(noisy.intercept, 3.5, 1e-12);
  EXPECT_NEAR(noisy.slope, 1.4, 1e-12);
  EXPECT_NEAR(noisy.r_squared, 0.7, 1e-12);  // 1 - 4.2 / 14
}

}  // namespace
}  // namespace mien::benchmarks
