#include "mien/runtime/environment.h"

#include <algorithm>
#include <filesystem>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>
#include <nlohmann/json.hpp>
#include <torch/version.h>

#include "mien/core/parallel.h"
#include "mien/data/readers/image_io.h"
#include "mien/report/canvas.h"
#include "mien/runtime/memory.h"
#include "mien/runtime/roofline.h"
#include "mien/version.h"

namespace mien::runtime {
namespace {

/// Optimized BLAS on one slow core still passes 10; reference BLAS reaches 2.
constexpr double kSlowGflopsPerThread = 6;

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
}

Environment environment() {
  return {.mien_version = kVersion,
          .mien_commit = kCommit,
          .compiler = fmt::format("g++ {}.{}", __GNUC__, __GNUC_MINOR__),
          .libtorch_version = TORCH_VERSION,
          .blas = blas_library(),
          .threads = at::get_num_threads(),
          .blas_kernels = blas_kernels(),
          .has_mkldnn = at::globalContext().hasMKLDNN(),
          .has_cuda = at::hasCUDA(),
          .has_vision = data::has_image_files(),
          .has_pictures = report::can_draw(),
          .cpu_capability = cpu_capability()};
}

Environment environment_with_blas(double seconds) {
  Environment result = environment();
  result.blas_gflops = matrix_product_gflops(seconds);
  result.blas_is_slow = result.blas_gflops < kSlowGflopsPerThread * result.threads;
  return result;
}

Environment measured_environment() {
  Environment result = environment_with_blas(1);
  result.convolution_gflops = convolution_gflops(1);
  result.register_gflops = register_gflops(1);
  return result;
}

std::string blas_warning(const Environment& environment) {
  if (!environment.blas_is_slow) return "";
  return fmt::format(
      "BLAS ({}) is slow: {:.1f} GFLOP/s on {} threads; training will take many times longer than need be. "
      "Remedy: apt-get install libopenblas0-pthread",
      environment.blas,
      environment.blas_gflops,
      environment.threads);
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
  text += fmt::format("GPU             {}\n", e.has_cuda ? "yes" : "no (this libtorch has none, or none is usable)");
  text += fmt::format("threads         {}\n", e.threads);
  text +=
      fmt::format("BLAS            {}{}\n", e.blas, e.blas_kernels.empty() ? "" : ", kernels for " + e.blas_kernels);
  text += fmt::format("arithmetic      {}{}\n", speed_text(e), e.blas_is_slow ? "  BLAS IS SLOW" : "");
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
  const nlohmann::ordered_json json{{"mien", e.mien_version},
                                    {"commit", e.mien_commit},
                                    {"compiler", e.compiler},
                                    {"libtorch", e.libtorch_version},
                                    {"vector_instructions", e.cpu_capability},
                                    {"onednn", e.has_mkldnn},
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
  return json.dump(2) + "\n";
}

}  // namespace mien::runtime
