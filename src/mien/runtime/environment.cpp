#include "mien/runtime/environment.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <thread>
#include <tuple>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>
#include <nlohmann/json.hpp>

#include "mien/core/parallel.h"
#include "mien/data/readers/image_io.h"
#include "mien/network/library_check.h"
#include "mien/report/canvas.h"
#include "mien/runtime/memory.h"
#include "mien/runtime/roofline.h"
#include "mien/version.h"

namespace mien::runtime {
namespace {

/// Optimized BLAS on one slow core still passes 10; reference BLAS reaches 2.
constexpr double kSlowGflopsPerThread = 6;

/// Short measurements, of which the best counts: other programs only ever make them slower.
constexpr int kBlasRounds = 5;

/// A product's largest error, as a share of the sum of its absolute terms, that rounding alone explains.
constexpr double kLargestBlasError = 1e-5;

/// sgemm at less of the convolution's rate has kernels that do not suit the processor.
constexpr double kPoorShare = 0.65;

/// File name of the library that this process calls sgemm_ from.
std::string blas_library() {
  void* symbol = ::dlsym(RTLD_DEFAULT, "sgemm_");
  Dl_info info{};
  if (symbol == nullptr || ::dladdr(symbol, &info) == 0 || info.dli_fname == nullptr) return "inside libtorch";
  std::error_code ignored;
  const auto real = std::filesystem::canonical(info.dli_fname, ignored);
  return ignored ? std::string(info.dli_fname) : real.string();
}

/// From libtorch's own description, whose spelling is the same in all versions.
std::string cpu_capability() {
  const std::string text = at::show_config();
  const std::string key = "CPU capability usage: ";
  const size_t begin = text.find(key);
  if (begin == std::string::npos) return "unknown";
  const size_t value = begin + key.size();
  return text.substr(value, text.find('\n', value) - value);
}

}  // namespace

void configure_threads(int count) {
  keep_freed_memory();
  // Before the pools start: threads take over this setting from the one that makes them. Activations and gradients that
  // fade below the smallest normal float would otherwise slow the processor down many times.
  at::globalContext().setFlushDenormal(true);
  set_threads(count);
  at::set_num_threads(threads());
  // OpenBLAS keeps a pool of its own.
  using SetThreads = void (*)(int);
  if (auto set = reinterpret_cast<SetThreads>(::dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))) set(threads());
  network::avoid_wrong_library_convolutions();
}

Environment environment() {
  return {.mien_version = kVersion,
          .mien_commit = kCommit,
          .compiler = fmt::format("g++ {}.{}", __GNUC__, __GNUC_MINOR__),
          .libtorch_version = kTorchVersion,
          .blas = blas_library(),
          .threads = at::get_num_threads(),
          .blas_kernels = blas_kernels(),
          .has_mkldnn = at::globalContext().hasMKLDNN(),
          .onednn_is_right = network::library_convolutions_are_right(),
          .has_cuda = at::hasCUDA(),
          .has_vision = data::has_image_files(),
          .has_pictures = report::can_draw(),
          .cpu_capability = cpu_capability()};
}

bool is_slow_blas(const std::string& library, double gflops, int threads) {
  for (const char* name : {"openblas", "mkl", "blis", "armpl", "accelerate"}) {
    if (library.find(name) != std::string::npos) return false;  // a slow minute is a busy machine's
  }
  if (library.find("/blas/libblas") != std::string::npos) return true;
  return gflops < kSlowGflopsPerThread * threads;
}

double blas_error() {
  double worst = 0;
  for (const auto& [rows, inner, columns] : {std::tuple{37, 53, 29}, {128, 64, 7}, {1, 300, 96}, {65, 1, 17}}) {
    const at::Tensor a = at::sin(at::arange(rows * inner, at::kDouble)).reshape({rows, inner}).to(at::kFloat);
    const at::Tensor b = at::cos(at::arange(inner * columns, at::kDouble)).reshape({inner, columns}).to(at::kFloat);
    const at::Tensor product = at::matmul(a, b);
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < columns; ++j) {
        double sum = 0;
        double size = 1e-30;
        for (int k = 0; k < inner; ++k) {
          const double term = static_cast<double>(a.data_ptr<float>()[i * inner + k]) *
                              static_cast<double>(b.data_ptr<float>()[k * columns + j]);
          sum += term;
          size += std::abs(term);
        }
        worst = std::max(worst, std::abs(static_cast<double>(product.data_ptr<float>()[i * columns + j]) - sum) / size);
      }
    }
  }
  return worst;
}

Environment environment_with_blas(double seconds) {
  Environment result = environment();
  for (int round = 0; round < kBlasRounds; ++round)
    result.blas_gflops = std::max(result.blas_gflops, matrix_product_gflops(seconds / kBlasRounds));
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  result.blas_is_slow = is_slow_blas(result.blas, result.blas_gflops, std::min(result.threads, cores));
  return result;
}

Environment measured_environment() {
  Environment result = environment_with_blas(1);
  result.convolution_gflops = convolution_gflops(1);
  result.register_gflops = register_gflops(1);
  result.blas_is_right = blas_error() < kLargestBlasError;
  return result;
}

std::string blas_warning(const Environment& environment) {
  if (!environment.blas_is_slow) return "";
  return fmt::format(
      "the BLAS library {} is slow ({:.1f} GFLOP/s on {} threads), so training takes many times longer. hint: apt-get "
      "install libopenblas0-pthread",
      environment.blas,
      environment.blas_gflops,
      environment.threads);
}

std::string convolution_warning(const Environment& environment) {
  if (environment.onednn_is_right) return "";
  return fmt::format(
      "oneDNN in libtorch {} miscalculates convolutions on this processor, so it is switched off: results are right, "
      "networks with more than Mien's own kernels may be slower",
      environment.libtorch_version);
}

std::string speed_text(const Environment& e) {
  return fmt::format("sgemm {:.0f}, convolution {:.0f}, multiply-adds in registers ({}) {:.0f} GFLOP/s",
                     e.blas_gflops,
                     e.convolution_gflops,
                     register_instructions(),
                     e.register_gflops);
}

std::string doctor_text(const Environment& e) {
  const auto yes = [](bool value) { return value ? "yes" : "no"; };
  std::string text;
  text += fmt::format("mien            {} (commit {}, {})\n", e.mien_version, e.mien_commit, e.compiler);
  text += fmt::format("libtorch        {}, vector instructions {}, oneDNN {}\n",
                      e.libtorch_version,
                      e.cpu_capability,
                      yes(e.has_mkldnn));
  text += fmt::format("convolutions    {}\n",
                      e.onednn_is_right ? "right to rounding"
                                        : "oneDNN MISCALCULATES on this processor: switched off, convolutions are "
                                          "Mien's own where it has them");
  text += fmt::format("GPU             {}\n", e.has_cuda ? "yes" : "no (this libtorch has none, or none is usable)");
  text += fmt::format("threads         {}\n", e.threads);
  text +=
      fmt::format("BLAS            {}{}\n", e.blas, e.blas_kernels.empty() ? "" : ", kernels for " + e.blas_kernels);
  text += fmt::format("arithmetic      {}{}\n", speed_text(e), e.blas_is_slow ? "  BLAS IS SLOW" : "");
  text += fmt::format("products        {}\n",
                      e.blas_is_right ? "right to rounding" : "WRONG: this BLAS miscalculates on this processor");
  text += "data types      float32 to compute and to store weights, float64 for checks and statistics\n";
  text += fmt::format("image folders   {}\n", yes(e.has_vision));
  text += fmt::format("pictures        {}\n", e.has_pictures ? "yes" : report::why_no_pictures());
  const std::string warning = blas_warning(e);
  if (!warning.empty()) text += warning + "\n";
  if (register_instructions() == "AVX-512" && !e.blas_kernels.empty() && e.blas_kernels != "SkylakeX" &&
      e.blas_gflops < kPoorShare * e.convolution_gflops) {
    text += fmt::format(
        "sgemm reaches {:.0f} % of the convolution's rate with OpenBLAS's kernels for {}; dense layers may be faster "
        "with "
        "OPENBLAS_CORETYPE=SkylakeX in the environment\n",
        100 * e.blas_gflops / e.convolution_gflops,
        e.blas_kernels);
  }
  return text;
}

std::string environment_json(const Environment& e) {
  nlohmann::ordered_json json{{"mien", e.mien_version},
                              {"commit", e.mien_commit},
                              {"compiler", e.compiler},
                              {"libtorch", e.libtorch_version},
                              {"vector_instructions", e.cpu_capability},
                              {"onednn", e.has_mkldnn},
                              {"onednn_is_right", e.onednn_is_right},
                              {"cuda", e.has_cuda},
                              {"threads", e.threads},
                              {"blas", e.blas},
                              {"blas_kernels", e.blas_kernels},
                              {"blas_gflops", e.blas_gflops},
                              {"convolution_gflops", e.convolution_gflops},
                              {"register_gflops", e.register_gflops},
                              {"blas_is_slow", e.blas_is_slow},
                              {"image_folders", e.has_vision},
                              {"pictures", e.has_pictures}};
  if (e.convolution_gflops > 0) json["blas_is_right"] = e.blas_is_right;  // else nothing was measured
  return json.dump(2) + "\n";
}

}  // namespace mien::runtime
