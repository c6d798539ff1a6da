#include "mien/training/optimizer.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include "mien/core/error.h"

namespace mien::training {
namespace {

/// The numbers of one update, the same for every element of a tensor. `kept` are 1 - beta, rounded once: in float32
/// arithmetic 1 - 0.999 is wrong by 1.3e-5 of itself.
struct Update {
  float rate, decay, scale, beta1, beta2, kept1, kept2, momentum, epsilon, first_correction, second_root_correction;
};

/// A few thousand elements of one parameter: what a thread works on while all of it is in its cache.
struct Piece {
  float* parameter;
  const float* gradient;
  float* first;
  float* second;
  float* average;  // null if there is none
  int64_t count;
  float decay;
};
constexpr int64_t kPieceElements = 4096;
/// Fewer pieces than this are not worth another thread.
constexpr int64_t kLeastPieces = 8;

/// While it lives, results too small for a normal float become 0 on this thread. A moment whose gradient has gone to 0
/// (a dead ReLU's) fades below the smallest normal float after some 800 steps, and arithmetic on such numbers is many
/// times slower: without this, an epoch of dnn3 takes five times as long from its fifth one on.
class FlushDenormals {
 public:
#if defined(__SSE2__)
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | kFlushToZero | kDenormalsAreZero); }
  ~FlushDenormals() { _mm_setcsr(saved_); }
#else
  FlushDenormals() = default;
#endif
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  static constexpr unsigned kFlushToZero = 0x8000;
  static constexpr unsigned kDenormalsAreZero = 0x0040;
  unsigned saved_ = 0;
};

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define MIEN_VECTORIZED __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define MIEN_VECTORIZED
#endif

MIEN_VECTORIZED void adam_block(int64_t n,
                                const Update u,
                                bool decoupled,
                                float* __restrict p,
                                const float* __restrict g,
                                float* __restrict m,
                                float* __restrict v) {
  const float shrink = decoupled ? 1.0F - u.rate * u.decay : 1.0F;
  const float penalty = decoupled ? 0.0F : u.decay;
  for (int64_t i = 0; i < n; ++i) {
    const float gradient = u.scale * g[i] + penalty * p[i];
    m[i] = u.beta1 * m[i] + u.kept1 * gradient;
    v[i] = u.beta2 * v[i] + u.kept2 * gradient * gradient;
    p[i] =
        p[i] * shrink - u.rate * u.first_correction * m[i] / (std::sqrt(v[i]) * u.second_root_correction + u.epsilon);
  }
}

MIEN_VECTORIZED void sgd_block(
    int64_t n, const Update u, float* __restrict p, const float* __restrict g, float* __restrict m) {
  for (int64_t i = 0; i < n; ++i) {
    const float gradient = u.scale * g[i] + u.decay * p[i];
    m[i] = u.momentum * m[i] + gradient;
    p[i] -= u.rate * (gradient + u.momentum * m[i]);
  }
}

MIEN_VECTORIZED void rmsprop_block(int64_t n,
                                   const Update u,
                                   float* __restrict p,
                                   const float* __restrict g,
                                   float* __restrict m,
                                   float* __restrict v) {
  for (int64_t i = 0; i < n; ++i) {
    const float gradient = u.scale * g[i] + u.decay * p[i];
    v[i] = u.beta2 * v[i] + u.kept2 * gradient * gradient;
    m[i] = u.momentum * m[i] + gradient / (std::sqrt(v[i]) + u.epsilon);
    p[i] -= u.rate * m[i];
  }
}

MIEN_VECTORIZED void average_block(int64_t n, float share, const float* __restrict p, float* __restrict average) {
  for (int64_t i = 0; i < n; ++i) average[i] += share * (p[i] - average[i]);
}

/// Sum of squares in float64, in an order that the compiler may not change: eight sums side by side.
MIEN_VECTORIZED double square_sum(int64_t n, const float* __restrict g) {
  double sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int lane = 0; lane < 8; ++lane)
      sums[lane] += static_cast<double>(g[i + lane]) * static_cast<double>(g[i + lane]);
  }
  for (; i < n; ++i) sums[0] += static_cast<double>(g[i]) * static_cast<double>(g[i]);
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

void update_piece(const std::string& kind, Update u, float average_share, const Piece& piece) {
  u.decay = piece.decay;
  if (kind == "sgd") {
    sgd_block(piece.count, u, piece.parameter, piece.gradient, piece.first);
  } else if (kind == "rmsprop") {
    rmsprop_block(piece.count, u, piece.parameter, piece.gradient, piece.first, piece.second);
  } else {
    adam_block(piece.count, u, kind == "adamw", piece.parameter, piece.gradient, piece.first, piece.second);
  }
  if (piece.average != nullptr) average_block(piece.count, average_share, piece.parameter, piece.average);
}

/// The same formulas in tensor operations, for parameters that are not float32 on the CPU, dense in memory.
void tensor_update(
    const std::string& kind, const Update& u, at::Tensor p, at::Tensor gradient, at::Tensor m, at::Tensor v) {
  if (u.scale != 1) gradient = gradient * u.scale;
  if (kind == "adamw") {
    p.mul_(1.0F - u.rate * u.decay);
  } else if (u.decay != 0) {
    gradient = gradient + u.decay * p;
  }
  if (kind == "sgd") {
    m.mul_(u.momentum).add_(gradient);
    p.sub_(u.rate * (gradient + u.momentum * m));
    return;
  }
  v.mul_(u.beta2).addcmul_(gradient, gradient, u.kept2);
  if (kind == "rmsprop") {
    m.mul_(u.momentum).addcdiv_(gradient, v.sqrt().add_(u.epsilon));
    p.sub_(m, u.rate);
    return;
  }
  m.mul_(u.beta1).add_(gradient, u.kept1);
  p.addcdiv_(m, v.sqrt().mul_(u.second_root_correction).add_(u.epsilon), -u.rate * u.first_correction);
}

/// `gradient` laid out in memory as `parameter` is.
at::Tensor matching(const at::Tensor& gradient, const at::Tensor& parameter) {
  if (gradient.strides() == parameter.strides()) return gradient;
  at::Tensor copy = at::empty_like(parameter);
  copy.copy_(gradient);
  return copy;
}

/// float32 on the CPU without holes: what the kernels take.
bool is_plain(const at::Tensor& tensor) {
  return tensor.is_cpu() && tensor.scalar_type() == at::kFloat && tensor.is_non_overlapping_and_dense();
}

}  // namespace

Optimizer::Optimizer(const OptimizerOptions& options,
                     std::vector<at::Tensor> parameters,
                     std::vector<std::string> names)
    : options_(options), parameters_(std::move(parameters)), names_(std::move(names)) {
  for (const at::Tensor& parameter : parameters_) {
    const at::Tensor value = parameter.detach();
    first_.push_back(at::zeros_like(value));
    if (options_.optimizer != "sgd") second_.push_back(at::zeros_like(value));
  }
}

void Optimizer::set_averages(std::vector<at::Tensor> averages) {
  if (averages.size() != parameters_.size()) throw std::logic_error("an average is needed for every parameter");
  averages_ = std::move(averages);
}

double Optimizer::gradient_norm() const {
  double sum = 0;
  std::vector<Piece> pieces;
  for (const at::Tensor& parameter : parameters_) {
    const at::Tensor gradient = parameter.grad();
    if (!gradient.defined()) continue;
    if (!is_plain(gradient)) {
      sum += gradient.to(at::kDouble).square().sum().item<double>();
      continue;
    }
    const float* const g = gradient.data_ptr<float>();
    for (int64_t begin = 0; begin < gradient.numel(); begin += kPieceElements) {
      pieces.push_back({.gradient = g + begin, .count = std::min(kPieceElements, gradient.numel() - begin)});
    }
  }
  std::vector<double> sums(pieces.size());
  at::parallel_for(0, static_cast<int64_t>(pieces.size()), kLeastPieces, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      sums[i] = square_sum(pieces[i].count, pieces[i].gradient);
  });
  for (const double piece : sums) sum += piece;
  return std::sqrt(sum);
}

void Optimizer::step(double rate, double average_share) {
  const at::NoGradGuard no_grad;
  double scale = 1;
  if (options_.clip_grad > 0) {
    const double norm = gradient_norm();
    if (norm > options_.clip_grad) scale = options_.clip_grad / (norm + 1e-6);
  }
  ++steps_;
  const double t = static_cast<double>(steps_);
  Update update{.rate = static_cast<float>(rate),
                .decay = 0,
                .scale = static_cast<float>(scale),
                .beta1 = static_cast<float>(options_.beta1),
                .beta2 = static_cast<float>(options_.beta2),
                .kept1 = static_cast<float>(1 - options_.beta1),
                .kept2 = static_cast<float>(1 - options_.beta2),
                .momentum = static_cast<float>(options_.momentum),
                .epsilon = static_cast<float>(options_.optimizer_epsilon),
                .first_correction = static_cast<float>(1.0 / (1.0 - std::pow(options_.beta1, t))),
                .second_root_correction = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(options_.beta2, t)))};
  std::vector<Piece> pieces;
  std::vector<at::Tensor> gradients;  // in the parameters' layout; they live until the pass is over
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor parameter = parameters_[i].detach();
    const at::Tensor average = averages_.empty() ? at::Tensor() : averages_[i];
    const bool has_gradient = parameters_[i].grad().defined();
    const at::Tensor gradient = has_gradient ? matching(parameters_[i].grad(), parameter) : at::Tensor();
    const at::Tensor second = second_.empty() ? first_[i] : second_[i];
    const float decay = parameter.dim() >= 2 ? static_cast<float>(options_.weight_decay) : 0.0F;
    const bool average_is_plain = !average.defined() || (is_plain(average) && average.strides() == parameter.strides());
    if (!has_gradient || !is_plain(parameter) || !average_is_plain) {
      update.decay = decay;
      if (has_gradient) tensor_update(options_.optimizer, update, parameter, gradient, first_[i], second);
      if (average.defined()) average.lerp_(parameter, average_share);
      continue;
    }
    float* const p = parameter.data_ptr<float>();
    const float* const g = gradient.data_ptr<float>();
    float* const m = first_[i].data_ptr<float>();
    float* const v = second.data_ptr<float>();
    float* const a = average.defined() ? average.data_ptr<float>() : nullptr;
    for (int64_t begin = 0; begin < parameter.numel(); begin += kPieceElements) {
      pieces.push_back({.parameter = p + begin,
                        .gradient = g + begin,
                        .first = m + begin,
                        .second = v + begin,
                        .average = a == nullptr ? nullptr : a + begin,
                        .count = std::min(kPieceElements, parameter.numel() - begin),
                        .decay = decay});
    }
    gradients.push_back(gradient);
    // What was derived from the values, such as packed weights, knows them by their version.
    parameter.unsafeGetTensorImpl()->bump_version();
    if (average.defined()) average.unsafeGetTensorImpl()->bump_version();
  }
  at::parallel_for(0, static_cast<int64_t>(pieces.size()), kLeastPieces, [&](int64_t begin, int64_t end) {
    const FlushDenormals flush_denormals;
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      update_piece(options_.optimizer, update, static_cast<float>(average_share), pieces[i]);
    }
  });
}

void Optimizer::zero_grad() {
  for (at::Tensor& parameter : parameters_) parameter.mutable_grad() = at::Tensor();
}

std::vector<std::pair<std::string, at::Tensor>> Optimizer::state() const {
  std::vector<std::pair<std::string, at::Tensor>> result;
  for (size_t i = 0; i < first_.size(); ++i) result.emplace_back("optimizer.first." + names_[i], first_[i]);
  for (size_t i = 0; i < second_.size(); ++i) result.emplace_back("optimizer.second." + names_[i], second_[i]);
  return result;
}

}  // namespace mien::training
