#include "mien/explain/units/activation_maximization.h"

#include <cstring>

#include "explain/inside_testing.h"

#include "mien/explain/units/image_prior.h"

namespace mien::explain {
namespace {

using network::Graph;
using network::Network;

/// Two convolutions on 12x12 images, quick to optimization.
Graph small_graph() {
  return network::graph_of(
      R"({ conv = 6, kernel = 3, padding = "same" }, { leaky_relu = 0.1 }, "batch_norm", { max_pool = 2 },
         { conv = 5, kernel = 3, padding = "same" }, "relu", "batch_norm", "flatten", { dense = 3 })",
      "[1, 12, 12]");
}

const Network& small_network() {
  static const Network network = lively(small_graph());
  return network;
}

AscentTask task_of(const std::string& layer, std::vector<int64_t> units, const Network& network = small_network()) {
  return {.network = network, .layer = network.graph().index_of(layer), .units = std::move(units)};
}

bool same_bytes(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.is_contiguous() && b.is_contiguous() &&
         std::memcmp(a.data_ptr(), b.data_ptr(), static_cast<size_t>(a.nbytes())) == 0;
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

TEST(Ascent, TakesTheStepsOfThePlainLoopThroughTheWholeNetwork) {
  for (const char* objective : {"mean", "sum", "center"}) {
    for (const char* layer :
         {"conv1", "leaky_relu1", "max_pool1", "conv2", "relu1", "batch_norm2", "flatten", "dense1"}) {
      AscentOptions options{.steps = 6, .rate = 0.05, .decay = 0.9, .objective = objective, .clamp = true};
      options.batch_size = 2;
      const AscentTask task = task_of(layer, {0, 2, 1});
      const AscentResult found = maximize(task, options);
      const AscentResult expected = maximize_one_by_one(task, options);
      EXPECT_LT(largest_difference(found.images, expected.images), 2e-6) << layer << " " << objective;
      EXPECT_LT(network::relative_difference(found.objective, expected.objective), 2e-6) << layer << " " << objective;
      EXPECT_TRUE(same_bytes(found.starts, expected.starts));
      EXPECT_TRUE(at::equal(found.zero_gradient_steps, expected.zero_gradient_steps));
      // Single positions behind a ReLU may be off from the start.
      if (layer != std::string("flatten")) {
        EXPECT_GT(largest_difference(found.images, found.starts), 1e-4) << layer << " " << objective;
      }
    }
  }
}

TEST(Ascent, TakesThoseStepsOnEveryConvolutionOfTheReportsNetworks) {
  for (const char* name : {"box3", "plain6"}) {
    const Network network = lively(network::load_graph(name));
    for (const network::Layer& layer : network.graph().layers) {
      if (layer.kind != network::LayerKind::conv) continue;
      const AscentTask task = task_of(layer.name, {1, 30}, network);
      const AscentOptions options{.steps = 2, .rate = 100};
      const AscentResult expected = maximize_one_by_one(task, options);
      // On the average over pixels: the first difference in rounding makes single pools and ReLUs choose otherwise.
      const double way = (expected.images - expected.starts).abs().mean().item<double>();
      const double difference = (maximize(task, options).images - expected.images).abs().mean().item<double>();
      EXPECT_LT(difference, 0.03 * way) << name << " " << layer.name;
    }
  }
}

TEST(Ascent, ClimbsALinearFilterAlongItsKernel) {
  // One filter over the whole image: the objective is the inner product with the kernel, every step adds rate * kernel.
  const Network network = lively(network::graph_of(R"({ conv = 2, kernel = 8 }, "flatten", { dense = 2 })"));
  const AscentOptions options{.steps = 7, .rate = 0.25, .start = "gray"};
  const AscentResult found = maximize(task_of("conv1", {1}, network), options);
  const at::Tensor kernel = network.tensor("conv1.weight").select(0, 1);
  EXPECT_LT(largest_difference(found.images[0], kernel * (7 * 0.25) + 0.5), 1e-6);
  const double gain = (found.objective[0][7] - found.objective[0][0]).item<double>();
  EXPECT_NEAR(gain, 7 * 0.25 * kernel.square().sum().item<double>(), 1e-5);
}

TEST(Ascent, RaisesTheObjectiveOfEveryPreset) {
  for (const std::string& name : ascent_preset_names()) {
    AscentOptions options;
    OptionSet set;
    options.bind(set);
    set.set("ascent-preset", name, Origin::command_line, "--ascent-preset");
    set.set("ascent-steps", "60", Origin::command_line, "--ascent-steps");
    apply_ascent_preset(set);
    EXPECT_EQ(options.steps, 60) << "given options stay as they were given";
    const AscentResult found = maximize(task_of("conv2", {0, 1, 2, 3, 4}), options);
    EXPECT_EQ(found.objective.sizes(), (std::vector<int64_t>{5, 61}));
    const at::Tensor gain = found.objective.select(1, 60) - found.objective.select(1, 0);
    // keras-vis's penalties outweigh these small filters: the best image may be the first.
    if (name == "keras-vis") {
      EXPECT_GE(gain.min().item<double>(), 0);
    } else {
      EXPECT_GT(gain.min().item<double>(), 0) << name;
    }
    EXPECT_TRUE(found.images.isfinite().all().item<bool>()) << name;
  }
}

TEST(Ascent, GivesTheSameBytesForTheSameSeedAndOthersForAnother) {
  for (const bool fourier : {false, true}) {
    AscentOptions options{.steps = 5, .seed = 11, .jitter = 2, .scale = 0.1, .rotate = 5, .fourier = fourier};
    const AscentTask task = task_of("relu1", {0, 1, 2});
    const AscentResult first = maximize(task, options);
    EXPECT_TRUE(same_bytes(first.images, maximize(task, options).images));
    options.seed = 12;
    EXPECT_GT(largest_difference(first.images, maximize(task, options).images), 1e-3);
  }
}

TEST(Ascent, GivesAUnitTheSameImageInAnyCompany) {
  for (const bool fourier : {false, true}) {
    AscentOptions options{.steps = 4, .jitter = 1, .fourier = fourier};
    const at::Tensor together = maximize(task_of("relu1", {0, 3, 1, 3}), options).images;
    const at::Tensor alone = maximize(task_of("relu1", {3, 3}), options).images;
    options.batch_size = 1;
    const at::Tensor one_at_a_time = maximize(task_of("relu1", {0, 3, 1, 3}), options).images;
    EXPECT_LT(largest_difference(together[1], alone[0]), 1e-6);
    EXPECT_LT(largest_difference(together[3], alone[1]), 1e-6);
    EXPECT_LT(largest_difference(together, one_at_a_time), 1e-6);
    EXPECT_GT(largest_difference(together[1], together[3]), 1e-3) << "a repeated unit starts from other noise";
  }
}

TEST(Ascent, StartsFromTheGivenFacesOrTheirMean) {
  AscentTask task = task_of("conv2", {4, 2});
  task.faces = network::random_images(task.network.graph(), 2);
  AscentOptions options{.steps = 0, .start = "faces"};
  EXPECT_TRUE(at::equal(maximize(task, options).images, task.faces));
  options.start = "mean-face";
  EXPECT_LT(largest_difference(maximize(task, options).images[1], task.faces.mean(0)), 1e-6);
  options.start = "faces";
  options.fourier = true;
  task.faces = task.faces * 0.9 + 0.05;
  EXPECT_LT(largest_difference(maximize(task, options).images, task.faces), 1e-3);
}

TEST(Ascent, ClampsToTheInputsOfBlackAndWhite) {
  AscentTask task = task_of("conv1", {0, 1});
  task.normalization = {.kind = network::Normalization::Kind::dataset, .mean = 0.5, .deviation = 0.25};
  const AscentResult found = maximize(task, {.steps = 40, .rate = 50, .objective = "sum", .clamp = true});
  EXPECT_FLOAT_EQ(found.images.min().item<float>(), -2);
  EXPECT_FLOAT_EQ(found.images.max().item<float>(), 2);
  const at::Tensor levels = to_levels(found.images, found.range);
  EXPECT_EQ(levels.min().item<int>(), 0);
  EXPECT_EQ(levels.max().item<int>(), 255);
  EXPECT_EQ(to_levels(at::zeros({1}), found.range).item<int>(), 128);
}

TEST(Ascent, NormalizesEachImagesGradient) {
  const AscentTask task = task_of("conv2", {0, 1});
  const auto way = [&](const std::string& how) {
    const AscentResult found = maximize(task, {.steps = 1, .rate = 0.5, .normalize = how});
    return (found.images - found.starts).flatten(1);
  };
  const at::Tensor by_rms = way("rms").square().mean(1).sqrt();
  EXPECT_NEAR(by_rms[0].item<double>(), 0.5, 5e-3);
  EXPECT_NEAR(by_rms[1].item<double>(), 0.5, 5e-3);
  EXPECT_NEAR(way("l2").square().sum(1).sqrt()[1].item<double>(), 0.5, 1e-5);
}

TEST(Ascent, SubtractsThePenaltiesGradients) {
  const AscentTask task = task_of("conv2", {0});
  const AscentOptions plain{.steps = 1, .rate = 1};
  AscentOptions with = plain;
  with.l2 = 3;
  with.lp = 2;
  with.total_variation = 0.5;
  const at::Tensor from_gray = maximize(task, plain).starts - 0.5;
  const at::Tensor expected = l2_penalty(from_gray).gradient * 3 + lp_penalty(from_gray, 6).gradient * 2 +
                              total_variation(from_gray, 2).gradient * 0.5;
  EXPECT_LT(network::relative_difference(maximize(task, plain).images - maximize(task, with).images, expected), 1e-3);
}

TEST(Ascent, SaysWhichUnitsAreDead) {
  const Network network = lively(small_graph());
  at::Tensor bias = network.tensor("conv2.bias");
  bias[2] = -1e6;  // relu1 gives 0 everywhere
  const AscentResult found = maximize(task_of("relu1", {1, 2}, network), {.steps = 4});
  EXPECT_EQ(found.zero_gradient_steps[0].item<int64_t>(), 0);
  EXPECT_EQ(found.zero_gradient_steps[1].item<int64_t>(), 4);
  EXPECT_TRUE(at::equal(found.images[1], found.starts[1]));
}

TEST(Ascent, KeepsTheBestImageIfAsked) {
  // Steps so long that the objective falls again.
  AscentOptions options{.steps = 12, .rate = 500, .start = "gray"};
  const AscentTask task = task_of("relu1", {0, 1, 3, 4});
  options.keep_best = true;
  const AscentResult found = maximize(task, options);
  const at::Tensor highest = found.objective.slice(1, 0, 12).amax(1);
  EXPECT_TRUE((found.objective.select(1, 12) >= highest - 1e-5 * highest.abs()).all().item<bool>());
}

TEST(Ascent, KeepsSnapshots) {
  const AscentTask task = task_of("conv2", {0, 1, 2});
  const AscentResult found = maximize(task, {.steps = 6, .snapshot_every = 3, .batch_size = 2});
  EXPECT_EQ(found.snapshots.sizes(), (std::vector<int64_t>{2, 3, 1, 12, 12}));
  EXPECT_TRUE(at::equal(found.snapshots[1], found.images));
  EXPECT_LT(largest_difference(found.snapshots[0], maximize(task, {.steps = 3}).images), 1e-6);
}

/// Wants the work to end after some steps.
class Stopper : public ProgressListener {
 public:
  void line(std::string_view) override {}
  void warning(std::string_view) override {}
  void progress(std::string_view, int64_t, int64_t, std::string_view) override { ++heard; }
  bool stop_requested() const override { return heard >= 3; }
  int heard = 0;
};

TEST(Ascent, EndsWhenItsOwnListenerWantsItTo) {
  Stopper stopper;
  EXPECT_EQ(network::error_of([&] {
              maximize(task_of("conv2", {0, 1}), {.steps = 50}, stopper);
            }),
            "failed: stopped while climbing");
  EXPECT_EQ(stopper.heard, 3);
}

TEST(Ascent, ReproducesTheDecayingRateOfReportE) {
  const Network network = lively(network::graph_of(R"({ conv = 2, kernel = 8 }, "flatten", { dense = 2 })"));
  const AscentResult found =
      maximize(task_of("conv1", {0}, network), {.steps = 3, .rate = 1, .decay = 0.5, .start = "gray"});
  EXPECT_LT(largest_difference(found.images[0], network.tensor("conv1.weight").select(0, 0) * 1.75 + 0.5), 1e-6);
}

TEST(Ascent, ExplainsWhatItCannotDo) {
  AscentTask task = task_of("conv2", {0, 1, 2});
  EXPECT_EQ(network::error_of([&] { maximize(task, {.start = "faces"}); }),
            "usage: an ascent of n from faces needs faces of 1*12*12, found none");
  task.faces = network::random_images(task.network.graph(), 2);
  EXPECT_EQ(network::error_of([&] { maximize(task, {.start = "faces"}); }),
            "usage: an ascent from faces needs one a unit or one for all, found 2 faces for 3 units");
  EXPECT_EQ(network::error_of([&] { maximize(task_of("conv2", {5}), {}); }),
            "usage: conv2 of n has no unit 5, expected 0 to 4");
  EXPECT_EQ(network::error_of([&] { ascent_preset("kerasvis"); }),
            "usage: unknown ascent preset 'kerasvis'. hint: did you mean 'keras-vis'?");
}

}  // namespace
}  // namespace mien::explain
