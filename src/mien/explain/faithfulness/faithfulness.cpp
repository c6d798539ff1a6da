#include "mien/explain/faithfulness/faithfulness.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "mien/core/random.h"
#include "mien/core/work_steps.h"
#include "mien/explain/faithfulness/map_statistics.h"
#include "mien/explain/methods.h"

namespace mien::explain {
namespace {

using network::Mode;
using network::Network;

constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();

std::vector<double> to_vector(const at::Tensor& values) {
  const at::Tensor numbers = values.to(at::kDouble).contiguous();
  return {numbers.data_ptr<double>(), numbers.data_ptr<double>() + numbers.numel()};
}

/// [side,side] float32 that blurs a column of pixels; weights at the borders are shared among the pixels that exist.
at::Tensor blur_matrix(int64_t side, double deviation) {
  const at::Tensor place = at::arange(side, at::kFloat);
  const at::Tensor weights = at::exp(-0.5 * ((place.unsqueeze(1) - place.unsqueeze(0)) / deviation).pow(2));
  return weights / weights.sum(1, /*keepdim=*/true);
}

at::Tensor blurred(const at::Tensor& images, double deviation) {
  const at::Tensor rows = blur_matrix(images.size(2), deviation);
  const at::Tensor columns = blur_matrix(images.size(3), deviation);
  return at::matmul(at::matmul(rows, images.contiguous()), columns.t());
}

/// What is seen in place of hidden pixels, [N,C,H,W].
at::Tensor fill_of(const AttributionRequest& request, const FaithfulnessOptions& how) {
  const at::Tensor& images = request.images;
  if (how.fill == "blur") return blurred(images, how.blur_deviation);
  if (how.fill == "black") return black_of(request).view({-1, 1, 1, 1}).expand_as(images);
  if (how.fill == "zero") return at::zeros_like(images);
  return images.mean({2, 3}, /*keepdim=*/true).expand_as(images);
}

/// Scores of `count` images, made a batch at a time by `images_of(index)`; `targets_of(index)` are their targets.
/// [count].
at::Tensor scores_of(const Network& network,
                     int64_t count,
                     int64_t batch_size,
                     Score score,
                     const at::Tensor& targets,
                     const std::function<at::Tensor(const at::Tensor& index)>& face_of,
                     const std::function<at::Tensor(const at::Tensor& index)>& images_of) {
  const at::NoGradGuard no_gradient;
  std::vector<at::Tensor> parts;
  for (int64_t begin = 0; begin < count; begin += batch_size) {
    tell_step("measuring", begin, count);
    const at::Tensor index = at::arange(begin, std::min(count, begin + batch_size), at::kLong);
    const at::Tensor images = images_of(index).contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor logits = network.forward(images, Mode::evaluation);
    parts.push_back(score_of(logits, targets.index_select(0, face_of(index)), score));
  }
  return at::cat(parts);
}

/// Rows of [N, values each] taken apart.
std::vector<std::vector<double>> rows_of(const at::Tensor& values) {
  std::vector<std::vector<double>> rows;
  for (int64_t row = 0; row < values.size(0); ++row) rows.push_back(to_vector(values[row]));
  return rows;
}

std::array<double, 2> drop_and_increase(double before, double after) {
  return {before > 0 ? std::max(0.0, before - after) / before : kNotANumber, after > before ? 1.0 : 0.0};
}

/// Perturbation `sample` of image `image`: a region's corner, or noise.
RandomStream perturbation_stream(const MethodOptions& options, int64_t image, int64_t sample) {
  return {
      static_cast<uint64_t>(options.seed), "infidelity", static_cast<uint64_t>(image), static_cast<uint64_t>(sample)};
}

/// [H,W]: 1 inside a region and 0 outside, or noise.
at::Tensor perturbation(int64_t height, int64_t width, const FaithfulnessOptions& how, RandomStream random) {
  at::Tensor mask = at::zeros({height, width}, at::kFloat);
  float* values = mask.data_ptr<float>();
  if (how.infidelity_kind == "noise") {
    for (int64_t i = 0; i < mask.numel(); ++i) values[i] = static_cast<float>(how.infidelity_noise * random.normal());
    return mask;
  }
  // Corners may lie outside, so that a pixel at the border is hidden as often as one in the middle.
  const int64_t side = std::min({how.infidelity_square, height, width});
  const auto first = [&](int64_t length) {
    return static_cast<int64_t>(random.below(static_cast<uint64_t>(length + side - 1))) - side + 1;
  };
  const int64_t top = first(height);
  const int64_t left = first(width);
  mask.slice(0, std::max<int64_t>(0, top), std::min(height, top + side))
      .slice(1, std::max<int64_t>(0, left), std::min(width, left + side))
      .fill_(1);
  return mask;
}

struct Infidelity {
  std::vector<double> error;                ///< after the best factor
  std::vector<double> relative_infidelity;  ///< the same as a share of what a zero map leaves
};

/// @source Yeh et al. 2019, "On the (in)fidelity and sensitivity of explanations", definition 2.1; the factor as
/// Captum's infidelity with normalize=True
Infidelity infidelity_of(const AttributionRequest& request,
                         const at::Tensor& maps,
                         const MethodOptions& options,
                         const FaithfulnessOptions& how) {
  const int64_t faces = request.images.size(0);
  const int64_t height = maps.size(1);
  const int64_t width = maps.size(2);
  const int64_t samples = how.infidelity_samples;
  const at::Tensor fill = fill_of(request, how);
  const bool is_noise = how.infidelity_kind == "noise";
  at::Tensor expected = at::zeros({faces * samples}, at::kDouble);
  const auto face_of = [&](const at::Tensor& index) { return at::div(index, samples, "trunc"); };
  const auto images_of = [&](const at::Tensor& index) {
    std::vector<at::Tensor> masks;
    for (int64_t i = 0; i < index.size(0); ++i) {
      const auto number = index[i].item<int64_t>();
      const int64_t face = number / samples;
      masks.push_back(perturbation(height, width, how, perturbation_stream(options, face, number % samples)));
      expected[number] = (maps[face] * masks.back()).sum(at::kDouble);
    }
    const at::Tensor mask = at::stack(masks).unsqueeze(1);
    const at::Tensor images = request.images.index_select(0, face_of(index));
    return is_noise ? images - mask : at::where(mask > 0, fill.index_select(0, face_of(index)), images);
  };
  const auto same = [](const at::Tensor& index) { return index; };
  const auto whole_images = [&](const at::Tensor& index) { return request.images.index_select(0, index); };
  const at::Tensor whole =
      scores_of(request.network, faces, options.batch_size, request.score, request.targets, same, whole_images);
  const at::Tensor changed = scores_of(
      request.network, faces * samples, options.batch_size, request.score, request.targets, face_of, images_of);
  const at::Tensor lost = (whole.unsqueeze(1) - changed.reshape({faces, samples})).to(at::kDouble);
  const at::Tensor predicted = expected.reshape({faces, samples});
  const at::Tensor square = predicted.pow(2).sum(1, true);
  const at::Tensor factor = at::where(square > 0, (predicted * lost).sum(1, true) / square, at::zeros_like(square));
  const at::Tensor error = (factor * predicted - lost).pow(2).mean(1);
  return {.error = to_vector(error), .relative_infidelity = to_vector(error / lost.pow(2).mean(1))};
}

/// Relative change of the map under the worst of some small changes of the image, [N]; NaN for a zero map.
/// @source Yeh et al. 2019, definition 3.1, relative to the map's norm as Captum's sensitivity_max
std::vector<double> sensitivity_of(const MethodSpec& spec,
                                   const AttributionRequest& request,
                                   const at::Tensor& maps,
                                   const MethodOptions& options,
                                   const FaithfulnessOptions& how) {
  const auto norm = [](const at::Tensor& values) { return values.to(at::kDouble).pow(2).sum({1, 2}).sqrt(); };
  at::Tensor largest = at::zeros({request.images.size(0)}, at::kDouble);
  for (int64_t sample = 0; sample < how.sensitivity_samples; ++sample) {
    at::Tensor noise = at::empty(request.images.sizes(), at::kFloat);
    const int64_t pixels = noise.numel() / noise.size(0);
    for (int64_t face = 0; face < noise.size(0); ++face) {
      RandomStream random(static_cast<uint64_t>(options.seed),
                          "sensitivity",
                          static_cast<uint64_t>(face),
                          static_cast<uint64_t>(sample));
      float* values = noise.data_ptr<float>() + face * pixels;
      for (int64_t i = 0; i < pixels; ++i)
        values[i] = static_cast<float>(random.uniform(-how.sensitivity_radius, how.sensitivity_radius));
    }
    AttributionRequest moved = request;
    moved.images = (request.images + noise).contiguous(at::MemoryFormat::ChannelsLast);
    largest = at::maximum(largest, norm(spec.explain(moved, options).values - maps));
  }
  return to_vector(largest / norm(maps));
}

double mean_of_finite(const std::vector<double>& values) {
  double sum = 0;
  int64_t count = 0;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    sum += value;
    ++count;
  }
  return count > 0 ? sum / static_cast<double>(count) : kNotANumber;
}

/// The area under a curve over equal steps of [0, 1], by the trapezoidal rule.
double area_under(const std::vector<double>& curve) {
  double sum = -(curve.front() + curve.back()) / 2;
  for (const double value : curve) sum += value;
  return sum / static_cast<double>(curve.size() - 1);
}

}  // namespace

void FaithfulnessOptions::bind(OptionSet& options) {
  options.group("faithfulness");
  options.add(&curve_steps,
              {.name = "curve-steps",
               .help = "points of a deletion or insertion curve, besides the first",
               .minimum = 1,
               .maximum = 10000});
  options.add(
      &fill,
      {.name = "curve-hide",
       .help = "what hides a pixel: the image's mean, black, zero (the network's input 0), or the blurred image",
       .choices = {"mean", "black", "zero", "blur"},
       .aliases = {"fill"}});
  options.add(&blur_deviation,
              {.name = "blur-deviation",
               .help = "width of the blur that insertion starts from",
               .unit = "pixels",
               .minimum = 0.01,
               .maximum = 1000});
  options.add(&infidelity_samples,
              {.name = "infidelity-samples",
               .help = "perturbations of each face for infidelity",
               .minimum = 1,
               .maximum = 100000});
  options.add(&infidelity_kind,
              {.name = "infidelity-kind",
               .help = "how infidelity perturbs: square fills a region (maps are contributions), noise subtracts "
                       "Gaussian noise (maps are gradients)",
               .choices = {"square", "noise"},
               .source = "Yeh et al. 2019"});
  options.add(
      &infidelity_square,
      {.name = "infidelity-square", .help = "side of that region", .unit = "pixels", .minimum = 1, .maximum = 10000});
  options.add(&infidelity_noise,
              {.name = "infidelity-noise",
               .help = "deviation of that noise, in units of the network's input",
               .minimum = 0,
               .maximum = 1000});
  options.add(&rerun_faces,
              {.name = "rerun-faces",
               .help = "faces on which methods run again for sensitivity and randomization; 0 leaves both out",
               .minimum = 0});
  options.add(&sensitivity_samples,
              {.name = "sensitivity-samples",
               .help = "small changes of each face for sensitivity",
               .minimum = 1,
               .maximum = 10000,
               .source = "Captum's default"});
  options.add(&sensitivity_radius,
              {.name = "sensitivity-radius",
               .help = "largest change of a pixel for sensitivity, in units of the network's input",
               .minimum = 0,
               .maximum = 1000,
               .source = "Captum's default"});
}

std::span<const MeasureSpec> measures() {
  static const std::vector<MeasureSpec> all{
      {"mass-accuracy", "mass", "share of positive relevance on evidence", "Arras, Osman, Samek 2022", 1},
      {"rank-accuracy",
       "rank",
       "share of the most relevant pixels, as many as evidence has, on evidence",
       "Arras, Osman, Samek 2022",
       1},
      {"pointing-game", "pointing", "faces whose most relevant pixel is evidence", "Zhang et al. 2018", 1},
      {"insertion-auc",
       "insertion",
       "area under the target's probability while pixels appear, most relevant first",
       "Petsiuk et al. 2018",
       1},
      {"deletion-auc",
       "deletion",
       "area under the target's probability while pixels vanish, most relevant first",
       "Petsiuk et al. 2018",
       -1},
      {"average-drop",
       "drop",
       "share of the target's probability that is lost when the face is seen through the map",
       "Chattopadhay et al. 2018, equation 20",
       -1},
      {"average-increase",
       "increase",
       "faces whose probability rises when seen through the map",
       "Chattopadhay et al. 2018, equation 21",
       1},
      {"infidelity",
       "infidelity",
       "mean squared error of the map's prediction of score changes, after the best factor",
       "Yeh et al. 2019, definition 2.1",
       -1},
      {"relative_infidelity",
       "relative_infidelity",
       "infidelity as a share of a zero map's",
       "Yeh et al. 2019, definition 2.1",
       -1},
      {"sensitivity-max",
       "sensitivity",
       "largest relative change of the map under small changes of the face",
       "Yeh et al. 2019, definition 3.1",
       -1},
      {"sparseness", "sparseness", "Gini index of absolute relevance", "Chalasani et al. 2020", 0},
      {"randomization",
       "randomized",
       "rank correlation with maps of the same network with random weights, mean over layers",
       "Adebayo et al. 2018",
       -1}};
  return all;
}

Curves curves_of(const AttributionRequest& request,
                 const at::Tensor& maps,
                 const MethodOptions& options,
                 const FaithfulnessOptions& how) {
  const int64_t faces = request.images.size(0);
  const int64_t pixels = maps.size(1) * maps.size(2);
  const int64_t points = how.curve_steps + 1;
  const at::Tensor is_finite = at::isfinite(maps).all(2).all(1);
  const at::Tensor order = pixel_order(at::nan_to_num(maps, 0, 0, 0), options.seed);
  // Place of each pixel in its image's order: it is hidden at a point if the place is below the point's count.
  const at::Tensor place =
      at::empty_like(order).scatter_(1, order, at::arange(pixels, at::kLong).expand_as(order).contiguous());
  const at::Tensor places = place.reshape({faces, 1, maps.size(1), maps.size(2)});
  Curves curves;
  std::vector<int64_t> counts;
  for (int64_t point = 0; point < points; ++point) {
    const double share = static_cast<double>(point) / static_cast<double>(how.curve_steps);
    curves.shares.push_back(share);
    counts.push_back(std::llround(share * static_cast<double>(pixels)));
  }
  const at::Tensor count_of_point = at::tensor(counts, at::kLong);
  const auto face_of = [&](const at::Tensor& index) { return at::div(index, points, "trunc"); };
  const auto run = [&](const at::Tensor& chosen, const at::Tensor& others) {
    const auto images_of = [&](const at::Tensor& index) {
      const at::Tensor face = face_of(index);
      const at::Tensor count = count_of_point.index_select(0, index - face * points).reshape({-1, 1, 1, 1});
      return at::where(
          places.index_select(0, face) < count, chosen.index_select(0, face), others.index_select(0, face));
    };
    const at::Tensor found = scores_of(request.network,
                                       faces * points,
                                       options.batch_size,
                                       Score::probability,
                                       request.targets,
                                       face_of,
                                       images_of)
                                 .reshape({faces, points});
    return rows_of(at::where(is_finite.unsqueeze(1), found, at::full_like(found, kNotANumber)));
  };
  curves.deletion = run(fill_of(request, how), request.images);
  curves.insertion = run(request.images, blurred(request.images, how.blur_deviation));
  return curves;
}

std::vector<double> mean_curve(const std::vector<std::vector<double>>& curves) {
  std::vector<double> means;
  for (size_t point = 0; !curves.empty() && point < curves.front().size(); ++point) {
    std::vector<double> values;
    for (const auto& curve : curves) values.push_back(curve[point]);
    means.push_back(mean_of_finite(values));
  }
  return means;
}

Randomization randomization_check(const MethodSpec& spec,
                                  const AttributionRequest& request,
                                  const at::Tensor& maps,
                                  const MethodOptions& options,
                                  const FaithfulnessOptions& how) {
  const int64_t faces = std::min(how.rerun_faces, request.images.size(0));
  Randomization result;
  if (faces == 0) return result;
  const network::Graph& graph = request.network.graph();
  const auto specs = graph.parameter_specs();
  const uint64_t seed = RandomStream(static_cast<uint64_t>(options.seed), "random weights").next();
  const at::Tensor before = maps.slice(0, 0, faces);
  std::vector<at::Tensor> correlations;
  for (auto layer = static_cast<int>(graph.layers.size()) - 1; layer > 0; --layer) {
    if (std::none_of(specs.begin(), specs.end(), [layer](const auto& tensor) { return tensor.layer == layer; }))
      continue;
    // Fresh weights everywhere, and the learned ones back before `layer`.
    Network changed(graph, seed);
    for (size_t i = 0; i < specs.size(); ++i) {
      at::Tensor tensor = changed.tensors()[i].requires_grad_(false);
      if (specs[i].layer < layer) tensor.copy_(request.network.tensors()[i]);
    }
    const AttributionRequest part = slice(request, 0, faces);
    const Attributions after = spec.explain(
        {.network = changed, .images = part.images, .targets = part.targets, .score = part.score, .black = part.black},
        options);
    correlations.push_back(rank_correlation(before.abs(), after.values.abs()));
    result.layers.push_back(graph.layers[static_cast<size_t>(layer)].name);
    result.rank_correlation.push_back(mean_of_finite(to_vector(correlations.back())));
    result.similarity.push_back(mean_of_finite(to_vector(structural_similarity(before, after.values))));
  }
  for (const auto& of_face : rows_of(at::stack(correlations, 1))) result.of_faces.push_back(mean_of_finite(of_face));
  return result;
}

Faithfulness measure(const MethodSpec& spec,
                     const AttributionRequest& request,
                     const at::Tensor& maps,
                     const at::Tensor& evidence,
                     const MethodOptions& options,
                     const FaithfulnessOptions& how) {
  const int64_t faces = request.images.size(0);
  Faithfulness result;
  for (int64_t face = 0; face < faces; ++face) result.problems.push_back(map_problem(maps[face]));
  const at::Tensor finite = at::nan_to_num(maps, 0, 0, 0);

  result.curves = curves_of(request, maps, options, how);
  for (const auto& curve : result.curves.deletion) result.values["deletion-auc"].push_back(area_under(curve));
  for (const auto& curve : result.curves.insertion) result.values["insertion-auc"].push_back(area_under(curve));

  const at::Tensor fill = fill_of(request, how);
  const at::Tensor positive = finite.clamp_min(0);
  const at::Tensor largest = positive.amax({1, 2}, true);
  const at::Tensor shown = (positive / at::where(largest > 0, largest, at::ones_like(largest))).unsqueeze(1);
  const auto same = [](const at::Tensor& index) { return index; };
  const auto probabilities = [&](const std::function<at::Tensor(const at::Tensor&)>& images_of) {
    return to_vector(
        scores_of(request.network, faces, options.batch_size, Score::probability, request.targets, same, images_of));
  };
  const auto before = probabilities([&](const at::Tensor& index) { return request.images.index_select(0, index); });
  const auto after = probabilities([&](const at::Tensor& index) {
    return at::lerp(fill.index_select(0, index), request.images.index_select(0, index), shown.index_select(0, index));
  });
  for (size_t face = 0; face < before.size(); ++face) {
    const auto [drop, increase] = drop_and_increase(before[face], after[face]);
    result.values["average-drop"].push_back(drop);
    result.values["average-increase"].push_back(increase);
  }

  const Infidelity infidelity = infidelity_of(request, finite, options, how);
  result.values["infidelity"] = infidelity.error;
  result.values["relative_infidelity"] = infidelity.relative_infidelity;
  result.values["sparseness"] = to_vector(gini_index(finite));

  if (const int64_t again = std::min(how.rerun_faces, faces); again > 0) {
    std::vector<double> sensitivity =
        sensitivity_of(spec, slice(request, 0, again), maps.slice(0, 0, again), options, how);
    result.randomization = randomization_check(spec, request, maps, options, how);
    std::vector<double> randomization = result.randomization.of_faces;
    sensitivity.resize(static_cast<size_t>(faces), kNotANumber);
    randomization.resize(static_cast<size_t>(faces), kNotANumber);
    result.values["sensitivity-max"] = std::move(sensitivity);
    result.values["randomization"] = std::move(randomization);
  }
  if (evidence.defined()) {
    const EvidenceAgreement agreement = evidence_agreement(finite, evidence, pixel_order(finite, options.seed));
    result.values["mass-accuracy"] = to_vector(agreement.mass_accuracy);
    result.values["rank-accuracy"] = to_vector(agreement.rank_accuracy);
    result.values["pointing-game"] = to_vector(agreement.pointing_game);
  }
  // A map with NaN has no measure.
  for (auto& [name, values] : result.values) {
    for (int64_t face = 0; face < faces; ++face) {
      if (!at::isfinite(maps[face]).all().item<bool>()) values[static_cast<size_t>(face)] = kNotANumber;
    }
  }
  return result;
}

}  // namespace mien::explain
