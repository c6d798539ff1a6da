#include "mien/app/environment.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>
#include <nlohmann/json.hpp>
#include <torch/version.h>

#include "mien/app/tensor_memory.h"
#include "mien/core/parallel.h"
#include "mien/data/image_io.h"
#include "mien/report/gnuplot.h"
#include "mien/version.h"

namespace mien::app {
namespace {

/// Optimised BLAS on one slow core still passes 10; reference BLAS reaches 2.
constexpr double kSlowGflopsPerThread = 6;

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
  reuse_tensor_memory();
  // Before the pools start: threads take over this setting from the one that makes them. Activations and gradients that
  // fade below the smallest normal float would otherwise slow the processor down many times.
  at::globalContext().setFlushDenormal(true);
  set_threads(count);
  at::set_num_threads(threads());
  // OpenBLAS keeps a pool of its own.
  using SetThreads = void (*)(int);
  if (auto set = reinterpret_cast<SetThreads>(::dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))) set(threads());
}

Environment environment() {
  return {.mien_version = kVersion,
          .mien_commit = kCommit,
          .compiler = fmt::format("g++ {}.{}", __GNUC__, __GNUC_MINOR__),
          .libtorch_version = TORCH_VERSION,
          .blas = blas_library(),
          .threads = at::get_num_threads(),
          .has_mkldnn = at::globalContext().hasMKLDNN(),
          .has_cuda = at::hasCUDA(),
          .has_vision = data::has_image_files(),
          .has_gnuplot = report::gnuplot_available(),
          .cpu_capability = cpu_capability()};
}

double measure_blas_gflops(double seconds) {
  using Clock = std::chrono::steady_clock;
  const at::NoGradGuard no_grad;
  constexpr int64_t kLargest = 1024;
  // A small product first: reference BLAS would need a second for the large one.
  double best = 0;
  for (int64_t side = 256; side <= kLargest; side *= 4) {
    const at::Tensor a = at::ones({side, side}, at::kFloat);
    const at::Tensor b = at::ones({side, side}, at::kFloat);
    const auto begin = Clock::now();
    double elapsed = 0;
    do {
      const auto start = Clock::now();
      const at::Tensor product = at::mm(a, b);
      const double took = std::chrono::duration<double>(Clock::now() - start).count();
      best = std::max(best, 2.0 * static_cast<double>(side * side * side) / took * 1e-9);
      elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
    } while (elapsed < seconds / 2);
    if (best < kSlowGflopsPerThread) break;
  }
  return best;
}

Environment measured_environment() {
  Environment result = environment();
  result.blas_gflops = measure_blas_gflops();
  result.blas_is_slow = result.blas_gflops < kSlowGflopsPerThread * result.threads;
  return result;
}

std::string blas_warning(const Environment& environment) {
  if (!environment.blas_is_slow) return "";
  return fmt::format(
      "BLAS ({}) is slow: {:.1f} GFLOP/s on {} threads; training will take many times longer than need be. "
      "Remedy: apt-get install libopenblas0-pthread",
      environment.blas, environment.blas_gflops, environment.threads);
}

std::string doctor_text(const Environment& e) {
  const auto yes = [](bool value) { return value ? "yes" : "no"; };
  std::string text;
  text += fmt::format("mien            {} (commit {}, {})\n", e.mien_version, e.mien_commit, e.compiler);
  text += fmt::format("libtorch        {}, vector instructions {}, oneDNN {}\n", e.libtorch_version, e.cpu_capability, yes(e.has_mkldnn));
  text += fmt::format("GPU             {}\n", e.has_cuda ? "yes" : "no (this libtorch has none, or none is usable)");
  text += fmt::format("threads         {}\n", e.threads);
  text += fmt::format("BLAS            {}, {:.0f} GFLOP/s{}\n", e.blas, e.blas_gflops, e.blas_is_slow ? "  SLOW" : "");
  text += fmt::format("image folders   {}\n", yes(e.has_vision));
  text += fmt::format("gnuplot         {}\n", e.has_gnuplot ? "yes" : "no (apt-get install gnuplot-nox): runs go without pictures");
  const std::string warning = blas_warning(e);
  if (!warning.empty()) text += warning + "\n";
  return text;
}

std::string environment_json(const Environment& e) {
  const nlohmann::ordered_json json{{"mien", e.mien_version},
                                    {"commit", e.mien_commit},
                                    {"compiler", e.compiler},
                                    {"libtorch", e.libtorch_version},
                                    {"vector_instructions", e.cpu_capability},
                                    {"onednn", e.has_mkldnn},
                                    {"cuda", e.has_cuda},
                                    {"threads", e.threads},
                                    {"blas", e.blas},
                                    {"blas_gflops", e.blas_gflops},
                                    {"blas_is_slow", e.blas_is_slow},
                                    {"image_folders", e.has_vision},
                                    {"gnuplot", e.has_gnuplot}};
  return json.dump(2) + "\n";
}

}  // namespace mien::app
