#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "explain_testing.h"
#include <ATen/Parallel.h>

#include "mien/core/parallel.h"
#include "mien/explain/methods.h"
#include "mien/explain/perturbation/perturbed_inputs.h"
#include "mien/explain/perturbation/rise.h"

namespace mien::explain {
namespace {

using network::error_of;
using network::graph_of;
using network::relative_difference;

/// The fixtures' first face, or all eight where MIEN_REFERENCE names the folder of reference numbers.
void take_faces(Reference& reference, const std::string& name) {
  at::set_num_threads(threads());
  const char* folder = std::getenv("MIEN_REFERENCE");
  const std::filesystem::path path =
      std::filesystem::path(folder == nullptr ? "" : folder) / name / "explanations.safetensors";
  const bool is_whole = folder != nullptr && std::filesystem::exists(path);
  if (is_whole) reference.file = SafetensorsFile::open(path);
  reference.request.images = reference["input"].slice(0, 0, is_whole ? 8 : 1);
  reference.request.targets = reference["target"].slice(0, 0, is_whole ? 8 : 1);
}

TEST(Occlusion, GivesCaptumsMaps) {
  for (const std::string name : {"leaky4", "relu6"}) {
    Reference reference(name);
    take_faces(reference, name);
    const MethodOptions options;
    const Attributions maps = explain_occlusion(reference.request, options);
    const at::Tensor expected = reference["captum.occlusion_w6_s3"].squeeze(1).slice(0, 0, maps.values.size(0));
    const double difference = relative_difference(maps.values, expected);
    RecordProperty(name, fmt::format("{:.2g}", difference));
    EXPECT_LE(difference, 1e-4) << name;
    EXPECT_EQ(maps.diagnostics[0].at("windows"), 225);
  }
}

TEST(FeatureAblation, GivesCaptumsMaps) {
  for (const std::string name : {"leaky4", "relu6"}) {
    Reference reference(name);
    take_faces(reference, name);
    MethodOptions options;
    options.perturbation.segment.segments = "grid";
    const Attributions maps = explain_feature_ablation(reference.request, options);
    const at::Tensor expected = reference["captum.feature_ablation_grid8"].squeeze(1).slice(0, 0, maps.values.size(0));
    const double difference = relative_difference(maps.values, expected);
    RecordProperty(name, fmt::format("{:.2g}", difference));
    EXPECT_LE(difference, 1e-4) << name;
  }
}

/// logit = weight . image + bias, 8x8 pixels.
struct LinearNetwork {
  explicit LinearNetwork(int channels, int64_t images = 2)
      : network(graph_of(R"("flatten", { dense = 3 })", fmt::format("[{}, 8, 8]", channels)), 5) {
    request.images = network::random_images(network.graph(), images);
    request.targets = at::arange(images, at::kLong).remainder(3);
  }
  /// Contribution of each pixel, channels joined: [N,8,8].
  at::Tensor contributions() const {
    const at::Tensor weights = network.tensor("dense1.weight").index_select(0, request.targets);
    return (weights.reshape(request.images.sizes()) * request.images).sum(1);
  }
  at::Tensor bias() const { return network.tensor("dense1.bias").index_select(0, request.targets); }

  network::Network network;
  AttributionRequest request{.network = network, .images = {}, .targets = {}};
};

TEST(Occlusion, OfALinearNetworkIsTheMeanOfTheWindowsContributions) {
  for (const int channels : {1, 3}) {
    LinearNetwork linear(channels);
    MethodOptions options;
    options.perturbation.occlusion_window = 3;
    options.perturbation.occlusion_stride = 2;  // the last windows hang over the border: 0, 2, 4, 6
    options.batch_size = 5;
    const at::Tensor contributions = linear.contributions();
    at::Tensor sums = at::zeros_like(contributions);
    at::Tensor counts = at::zeros({8, 8});
    for (int64_t y = 0; y < 8; y += 2) {
      for (int64_t x = 0; x < 8; x += 2) {
        const auto window = [&](const at::Tensor& map) { return map.slice(-2, y, y + 3).slice(-1, x, x + 3); };
        window(sums).add_(window(contributions).sum(at::IntArrayRef{1, 2}, true));
        window(counts).add_(1);
      }
    }
    EXPECT_LE(relative_difference(explain_occlusion(linear.request, options).values, sums / counts), 1e-5) << channels;
  }
}

TEST(FeatureAblation, OfALinearNetworkIsTheRegionsContribution) {
  for (const int channels : {1, 3}) {
    LinearNetwork linear(channels);
    MethodOptions options;
    options.perturbation.segment.segments = "grid";
    options.perturbation.segment.segment_size = 4;
    const at::Tensor sums = linear.contributions().reshape({2, 2, 4, 2, 4}).sum(at::IntArrayRef{2, 4}, true);
    const at::Tensor expected = sums.expand({2, 2, 4, 2, 4}).reshape({2, 8, 8});
    EXPECT_LE(relative_difference(explain_feature_ablation(linear.request, options).values, expected), 1e-5);
    // Images cut into different numbers of regions share passes.
    linear.request.images[1].slice(2, 0, 4).fill_(0.2);
    linear.request.images[1].slice(2, 4, 8).fill_(0.8);
    options.perturbation.segment.segments = "felzenszwalb";
    options.perturbation.segment.felzenszwalb_scale = 30;
    options.perturbation.segment.felzenszwalb_least = 1;
    const Attributions maps = explain_feature_ablation(linear.request, options);
    EXPECT_NE(maps.diagnostics[0].at("segments"), maps.diagnostics[1].at("segments"));
    for (int64_t image = 0; image < 2; ++image) {
      const at::Tensor segments = segment(linear.request.images[image], options.perturbation.segment);
      const at::Tensor first = linear.contributions()[image].masked_select(segments.eq(0)).sum();
      EXPECT_NEAR(maps.values[image].masked_select(segments.eq(0))[0].item<double>(), first.item<double>(), 1e-5);
    }
  }
}

/// Mean over all shifts of what two pixels' masks share: [64,64], from cells enlarged by ATen.
at::Tensor shared_cells(int64_t cells) {
  const int64_t cell_size = (8 + cells - 1) / cells;
  const int64_t size = (cells + 1) * cell_size;
  const at::Tensor single = at::eye(cells * cells).reshape({cells * cells, 1, cells, cells});
  const at::Tensor enlarged = at::upsample_bilinear2d(single, {size, size}, /*align_corners=*/false).squeeze(1);
  at::Tensor shared = at::zeros({64, 64});
  for (int64_t y = 0; y < cell_size; ++y) {
    for (int64_t x = 0; x < cell_size; ++x) {
      const at::Tensor cut = enlarged.slice(1, y, y + 8).slice(2, x, x + 8).reshape({cells * cells, 64});
      shared += cut.t().matmul(cut) / static_cast<double>(cell_size * cell_size);
    }
  }
  return shared;
}

TEST(Rise, OfALinearNetworkHasItsExpectation) {
  // E[f M] / E[M] with cov(M_i, M_j) = keep (1 - keep) * share: keep * sum + (1 - keep) * share . contributions + bias.
  constexpr double kKeep = 0.4;
  for (const int channels : {1, 3}) {
    LinearNetwork linear(channels);
    MethodOptions options;
    options.perturbation.rise_samples = 60000;
    options.perturbation.rise_cells = 3;
    options.perturbation.rise_keep = kKeep;
    options.batch_size = 1024;
    const Attributions maps = explain_rise(linear.request, options);
    const at::Tensor contributions = linear.contributions().reshape({2, 64});
    const at::Tensor expected = (contributions.matmul(shared_cells(3)) * (1 - kKeep) +
                                 kKeep * contributions.sum(1, true) + linear.bias().unsqueeze(1))
                                    .reshape({2, 8, 8});
    const double spread = (expected - expected.mean(at::IntArrayRef{1, 2}, true)).abs().max().item<double>();
    EXPECT_LE((maps.values - expected).abs().max().item<double>(), 0.05 * spread) << channels;
    EXPECT_NEAR(maps.diagnostics[0].at("least_seen"), 1, 0.05);
  }
}

TEST(Rise, MasksLieInTheUnitIntervalAndShowEachPixelWithTheSameProbability) {
  const RiseMasks masks(48, 40, 7, 0.5, 11);
  at::Tensor sum = at::zeros({48, 40}, at::kDouble);
  at::Tensor mask = at::empty({48, 40});
  for (int64_t i = 0; i < 4000; ++i) {
    masks.write(i, mask.data_ptr<float>());
    ASSERT_GE(mask.min().item<float>(), 0);
    ASSERT_LE(mask.max().item<float>(), 1);
    sum += mask;
  }
  EXPECT_LE((sum / 4000 - 0.5).abs().max().item<double>(), 0.04);  // 5 deviations of at most 0.008
}

TEST(PerturbationMethods, GiveTheSameBytesForTheSameSeedAndNearlyTheSameForAnyBatch) {
  network::Network network(graph_of(R"({ conv = 4, kernel = 3 }, "relu", "flatten", { dense = 3 })", "[3, 12, 12]"), 5);
  const AttributionRequest request{.network = network,
                                   .images = network::random_images(network.graph(), 2),
                                   .targets = at::tensor({0, 2}, at::kLong)};
  MethodOptions options;
  options.perturbation.segment.segments = "grid";
  options.perturbation.segment.segment_size = 4;
  options.perturbation.rise_samples = options.perturbation.lime_samples = options.perturbation.shap_samples = 100;
  for (const MethodSpec& spec : perturbation_methods()) {
    options.batch_size = 128;
    const Attributions maps = spec.explain(request, options);
    ASSERT_EQ(maps.values.sizes(), (std::vector<int64_t>{2, 12, 12})) << spec.name;
    EXPECT_EQ(maps.values.scalar_type(), at::kFloat);
    EXPECT_EQ(maps.diagnostics.size(), 2U) << spec.name;
    EXPECT_GT((maps.values[0] - maps.values[0].mean()).abs().max().item<double>(), 0) << spec.name;
    EXPECT_TRUE(spec.explain(request, options).values.equal(maps.values)) << spec.name;
    options.batch_size = 3;
    EXPECT_LE(relative_difference(spec.explain(request, options).values, maps.values), 1e-4) << spec.name;
    options.batch_size = 128;
    const at::Tensor alone = spec.explain(slice(request, 1, 2), options).values;
    EXPECT_LE(relative_difference(alone, maps.values.slice(0, 1, 2)), 1e-4) << spec.name << ": company does not matter";
    options.seed = 1;
    EXPECT_EQ(spec.explain(request, options).values.equal(maps.values), !spec.is_random) << spec.name;
    options.seed = 0;
  }
}

TEST(PerturbationMethods, AskNoNetworkForMoreImagesThanTheBatch) {
  LinearNetwork linear(1, 1);
  int64_t passes = 0;
  int64_t largest = 0;
  const auto write = [](const PerturbedInput&, float* pixels) { std::fill(pixels, pixels + 64, 0.0F); };
  score_perturbed(linear.request,
                  Score::logit,
                  100,
                  32,
                  write,
                  [&](std::span<const PerturbedInput> variants, std::span<const float>) {
                    ++passes;
                    largest = std::max(largest, static_cast<int64_t>(variants.size()));
                  });
  EXPECT_EQ(passes, 4);
  EXPECT_EQ(largest, 32);
}

TEST(HiddenImage, HoldsTheMeanOfARegionOrOfTheImageOrBlackOrABlur) {
  const at::Tensor image = at::tensor({0.0F, 0.2F, 0.4F, 1.0F}).reshape({2, 2, 1});
  const at::Tensor segments = at::tensor({0, 0, 1, 0}, at::kLong).reshape({2, 2});
  const auto hidden = [&](MaskFill kind) { return hidden_image(image, segments, kind).reshape({-1}); };
  EXPECT_TRUE(hidden(MaskFill::segment_mean).allclose(at::tensor({0.4F, 0.4F, 0.4F, 0.4F})));
  EXPECT_TRUE(hidden(MaskFill::image_mean).allclose(at::full({4}, 0.4F)));
  EXPECT_TRUE(hidden(MaskFill::black).equal(at::zeros({4})));
  EXPECT_TRUE(hidden_image(image, segments, MaskFill::black, -1.5).reshape({-1}).equal(at::full({4}, -1.5)));
  EXPECT_TRUE(hidden_image(image, segments, MaskFill::zero, -1.5).reshape({-1}).equal(at::zeros({4})));
  const at::Tensor spot = at::zeros({48, 48, 1});
  spot[24][24][0] = 1;
  const at::Tensor blurred = hidden_image(spot, {}, MaskFill::blur);
  const double deviation = 48.0 * 10 / 224;
  EXPECT_NEAR(blurred.sum().item<double>(), 1, 1e-5);
  EXPECT_NEAR((blurred[24][26][0] / blurred[24][24][0]).item<double>(), std::exp(-2 / (deviation * deviation)), 1e-5);
}

TEST(Occlusion, HidesWithWhatIsAskedFor) {
  LinearNetwork linear(3, 1);
  MethodOptions options;
  options.perturbation.occlusion_window = options.perturbation.occlusion_stride = 8;
  options.perturbation.hide = "mean";
  const at::Tensor image = linear.request.images;
  const at::Tensor weights = linear.network.tensor("dense1.weight")[0].reshape({3, 8, 8});
  const at::Tensor expected = (weights * (image - image.mean(at::IntArrayRef{2, 3}, true))[0]).sum();
  EXPECT_NEAR(explain_occlusion(linear.request, options).values[0][3][3].item<double>(), expected.item<double>(), 1e-5);
  options.perturbation.hide = "image-mean";
  EXPECT_NEAR(explain_occlusion(linear.request, options).values[0][3][3].item<double>(), expected.item<double>(), 1e-5);
}

TEST(PerturbationMethods, HideWithWhatABlackPixelBecomes) {
  LinearNetwork linear(1);
  const at::Tensor black = at::tensor({-2.0F, -0.5F});
  linear.request.black = black;
  const at::Tensor weights = linear.network.tensor("dense1.weight").index_select(0, linear.request.targets);
  const at::Tensor expected =
      weights.reshape({2, 8, 8}) * (linear.request.images.squeeze(1) - black.reshape({2, 1, 1}));
  MethodOptions options;
  options.perturbation.occlusion_window = options.perturbation.occlusion_stride = 1;
  EXPECT_LE(relative_difference(explain_occlusion(linear.request, options).values, expected), 1e-5);
  options.perturbation.segment.segments = "grid";
  options.perturbation.segment.segment_size = 1;
  EXPECT_LE(relative_difference(explain_feature_ablation(linear.request, options).values, expected), 1e-5);
  // An image that is black all over has nothing that rise could hide: all its scores are one.
  linear.request.images = at::full({2, 1, 8, 8}, -2.0F);
  options.perturbation.rise_samples = 20;
  options.perturbation.rise_cells = 3;
  const at::Tensor rise = explain_rise(linear.request, options).values;
  EXPECT_LE((rise[0] - rise[0].mean()).abs().max().item<double>(), 1e-5);
  EXPECT_GT((rise[1] - rise[1].mean()).abs().max().item<double>(), 1e-3);
  linear.request.images = linear.contributions().unsqueeze(1);
  options.perturbation.hide = "zero";
  EXPECT_LE(relative_difference(explain_occlusion(linear.request, options).values, linear.contributions()), 1e-5);
}

TEST(PerturbationMethods, SayWhichOptionDoesNotFit) {
  LinearNetwork linear(1);
  MethodOptions options;
  options.perturbation.occlusion_window = 9;
  EXPECT_EQ(error_of([&] { explain_occlusion(linear.request, options); }),
            "usage: occlusion-window 9 is larger than the image of 8x8 pixels");
  options.perturbation.occlusion_window = 4;
  options.perturbation.occlusion_stride = 5;
  EXPECT_EQ(error_of([&] { explain_occlusion(linear.request, options); }),
            "usage: occlusion-stride 5 is larger than the window of 4. hint: pixels between two windows would never be "
            "hidden");
  options.perturbation.rise_cells = 9;
  EXPECT_EQ(error_of([&] { explain_rise(linear.request, options); }),
            "usage: rise-cells 9 is more than the image of 8x8 has pixels along a side");
}

TEST(PerturbationOptions, AreDeclaredWithTheDefaultsOfTheStruct) {
  MethodOptions options;
  OptionSet set;
  options.perturbation.bind(set);
  set.set("segments", "quickshift", Origin::command_line, "");
  set.set("lime-samples", "50", Origin::command_line, "");
  EXPECT_EQ(options.perturbation.segment.segments, "quickshift");
  EXPECT_EQ(options.perturbation.lime_samples, 50);
  for (const OptionSet::Entry& entry : set.entries()) {
    EXPECT_EQ(entry.group, "explain") << entry.spec.name;
    // A default that is out of its own range could not be written back.
    EXPECT_EQ(error_of([&] { set.set(entry.spec.name, entry.default_text, Origin::command_line, ""); }), "")
        << entry.spec.name;
  }
}

}  // namespace
}  // namespace mien::explain
