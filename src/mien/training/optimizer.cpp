#include "mien/training/optimizer.h"

#include <cmath>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "mien/core/error.h"

namespace mien::training {
namespace {

/// The numbers of one update, the same for every element.
struct Update {
  float rate, decay, beta1, beta2, momentum, epsilon, first_correction, second_root_correction;
};

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
#define MIEN_VECTORISED __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define MIEN_VECTORISED
#endif

MIEN_VECTORISED void adam_block(int64_t n,
                                const Update u,
                                bool decoupled,
                                float* __restrict p,
                                const float* __restrict g,
                                float* __restrict m,
                                float* __restrict v) {
  const float shrink = decoupled ? 1.0F - u.rate * u.decay : 1.0F;
  const float penalty = decoupled ? 0.0F : u.decay;
  for (int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] + penalty * p[i];
    m[i] = u.beta1 * m[i] + (1.0F - u.beta1) * gradient;
    v[i] = u.beta2 * v[i] + (1.0F - u.beta2) * gradient * gradient;
    p[i] =
        p[i] * shrink - u.rate * u.first_correction * m[i] / (std::sqrt(v[i]) * u.second_root_correction + u.epsilon);
  }
}

MIEN_VECTORISED void sgd_block(
    int64_t n, const Update u, float* __restrict p, const float* __restrict g, float* __restrict m) {
  for (int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] + u.decay * p[i];
    m[i] = u.momentum * m[i] + gradient;
    p[i] -= u.rate * (gradient + u.momentum * m[i]);
  }
}

MIEN_VECTORISED void rmsprop_block(int64_t n,
                                   const Update u,
                                   float* __restrict p,
                                   const float* __restrict g,
                                   float* __restrict m,
                                   float* __restrict v) {
  for (int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] + u.decay * p[i];
    v[i] = u.beta2 * v[i] + (1.0F - u.beta2) * gradient * gradient;
    m[i] = u.momentum * m[i] + gradient / (std::sqrt(v[i]) + u.epsilon);
    p[i] -= u.rate * m[i];
  }
}

/// The same formulas in tensor operations, for parameters that are not float32 on the CPU, dense in memory.
void tensor_update(
    const std::string& kind, const Update& u, at::Tensor p, at::Tensor gradient, at::Tensor m, at::Tensor v) {
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
  v.mul_(u.beta2).addcmul_(gradient, gradient, 1.0F - u.beta2);
  if (kind == "rmsprop") {
    m.mul_(u.momentum).addcdiv_(gradient, v.sqrt().add_(u.epsilon));
    p.sub_(m, u.rate);
    return;
  }
  m.mul_(u.beta1).add_(gradient, 1.0F - u.beta1);
  p.addcdiv_(m, v.sqrt().mul_(u.second_root_correction).add_(u.epsilon), -u.rate * u.first_correction);
}

/// `gradient` laid out in memory as `parameter` is.
at::Tensor matching(const at::Tensor& gradient, const at::Tensor& parameter) {
  if (gradient.strides() == parameter.strides()) return gradient;
  at::Tensor copy = at::empty_like(parameter);
  copy.copy_(gradient);
  return copy;
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

double Optimizer::clip() {
  if (options_.clip_grad <= 0) return 0;
  double sum = 0;
  for (const at::Tensor& parameter : parameters_) {
    if (parameter.grad().defined()) sum += parameter.grad().to(at::kDouble).square().sum().item<double>();
  }
  const double norm = std::sqrt(sum);
  if (norm > options_.clip_grad) {
    for (const at::Tensor& parameter : parameters_) {
      if (parameter.grad().defined()) parameter.grad().mul_(options_.clip_grad / (norm + 1e-6));
    }
  }
  return norm;
}

void Optimizer::step(double rate) {
  const at::NoGradGuard no_grad;
  clip();
  ++steps_;
  const double t = static_cast<double>(steps_);
  Update update{.rate = static_cast<float>(rate),
                .decay = 0,
                .beta1 = static_cast<float>(options_.beta1),
                .beta2 = static_cast<float>(options_.beta2),
                .momentum = static_cast<float>(options_.momentum),
                .epsilon = static_cast<float>(options_.optimizer_epsilon),
                .first_correction = static_cast<float>(1.0 / (1.0 - std::pow(options_.beta1, t))),
                .second_root_correction = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(options_.beta2, t)))};
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor parameter = parameters_[i].detach();
    if (!parameters_[i].grad().defined()) continue;
    update.decay = parameter.dim() >= 2 ? static_cast<float>(options_.weight_decay) : 0.0F;
    const at::Tensor gradient = matching(parameters_[i].grad(), parameter);
    const at::Tensor second = second_.empty() ? first_[i] : second_[i];
    if (!parameter.is_cpu() || parameter.scalar_type() != at::kFloat || !parameter.is_non_overlapping_and_dense()) {
      tensor_update(options_.optimizer, update, parameter, gradient, first_[i], second);
      continue;
    }
    float* const p = parameter.data_ptr<float>();
    const float* const g = gradient.data_ptr<float>();
    float* const m = first_[i].data_ptr<float>();
    float* const v = second.data_ptr<float>();
    at::parallel_for(0, parameter.numel(), 32768, [&](int64_t begin, int64_t end) {
      const FlushDenormals flush_denormals;
      const int64_t n = end - begin;
      if (options_.optimizer == "sgd") {
        sgd_block(n, update, p + begin, g + begin, m + begin);
      } else if (options_.optimizer == "rmsprop") {
        rmsprop_block(n, update, p + begin, g + begin, m + begin, v + begin);
      } else {
        adam_block(n, update, options_.optimizer == "adamw", p + begin, g + begin, m + begin, v + begin);
      }
    });
  }
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
