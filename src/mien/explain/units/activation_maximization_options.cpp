#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/explain/units/activation_maximization.h"

namespace mien::explain {
namespace {

using Values = std::vector<std::pair<std::string, std::string>>;

/// In the order in which help lists them.
const std::vector<std::pair<std::string, Values>>& presets() {
  static const std::vector<std::pair<std::string, Values>> table{
      // Report A: 500 steps of 0.1 up the mean; report B and C alike. These are the options' own defaults.
      {"report", {}},
      // Report E: the sum, from noise, decaying rate, pixels clamped. Rate and decay are not given there.
      {"report-e",
       {{"ascent-objective", "sum"},
        {"ascent-noise", "1"},
        {"ascent-rate", "0.02"},
        {"ascent-decay", "0.99"},
        {"ascent-clamp", "true"}}},
      // Chollet 2016, blog.keras.io: gradient over its root mean square, steps of 1 of 255 from noise around mid-gray;
      // 64 steps as the course's students take.
      {"keras-blog", {{"ascent-steps", "64"}, {"ascent-rate", "0.00392156862745098"}, {"ascent-normalize", "rms"}}},
      // keras-vis, visualize_activation: 200 steps, L6 norm and total variation with weight 10, uniform noise of
      // deviation 12.75, best image kept. Its rule has no rate: a step of 1 in 255 there is 1/255 here.
      {"keras-vis",
       {{"ascent-steps", "200"},
        {"ascent-rate", "0.00392156862745098"},
        {"ascent-opt", "rmsprop"},
        {"ascent-normalize", "l2"},
        {"ascent-noise", "0.17320508075688773"},
        {"ascent-lp", "10"},
        {"ascent-tv", "10"},
        {"ascent-keep-best", "true"}}},
      // Yosinski et al. 2015 (decay and blur every fourth step) with the warps of tf-keras-vis; the numbers are chosen
      // here,
      // for 48 pixels and values around 1.
      {"regularized",
       {{"ascent-steps", "256"},
        {"ascent-rate", "0.02"},
        {"ascent-normalize", "rms"},
        {"ascent-l2", "0.1"},
        {"ascent-tv", "0.1"},
        {"ascent-blur", "0.5"},
        {"ascent-jitter", "2"},
        {"ascent-rotate", "1"},
        {"ascent-clamp", "true"}}},
      // Lucid's defaults: Adam 0.05, 512 steps, Fourier form, scale 0.9 to 1.1, rotation of 10 degrees; its jitters of
      // 8
      // and 4 of 128 pixels are 4 of 48.
      {"fourier",
       {{"ascent-steps", "512"},
        {"ascent-rate", "0.05"},
        {"ascent-opt", "adam"},
        {"ascent-fourier", "true"},
        {"ascent-jitter", "4"},
        {"ascent-scale", "0.1"},
        {"ascent-rotate", "10"}}},
  };
  return table;
}

}  // namespace

std::vector<std::string> ascent_preset_names() {
  std::vector<std::string> names;
  for (const auto& [name, values] : presets()) names.push_back(name);
  return names;
}

std::vector<std::pair<std::string, std::string>> ascent_preset(const std::string& name) {
  for (const auto& [known, values] : presets()) {
    if (known == name) return values;
  }
  throw_usage("unknown ascent preset " + quote_sample(name), suggestion(name, ascent_preset_names()));
}

void apply_ascent_preset(OptionSet& options) {
  const std::string name = options.find("ascent-preset")->text();
  for (const auto& [option, value] : ascent_preset(name)) {
    if (options.find(option)->origin == Origin::default_value) {
      options.set(option, value, Origin::recipe, "ascent-preset " + name);
    }
  }
}

void AscentOptions::bind(OptionSet& options) {
  options.group("ascent");
  options.add(
      &preset,
      {.name = "ascent-preset",
       .help = "values that belong together, for all ascent options that are not given themselves",
       .choices = ascent_preset_names(),
       .source = "report and report-e: reports A and E; keras-blog: Chollet 2016; keras-vis: visualize_activation; "
                 "regularized: Yosinski et al. 2015; fourier: Olah et al. 2017"});
  options.add(&steps,
              {.name = "ascent-steps",
               .help = "steps up the gradient",
               .unit = "steps",
               .minimum = 0,
               .maximum = 100000,
               .source = "report A"});
  options.add(&rate,
              {.name = "ascent-rate",
               .help = "length of a step as a factor of the gradient, in the network's input space",
               .minimum = 0,
               .source = "report A"});
  options.add(&decay,
              {.name = "ascent-decay",
               .help = "factor of the rate from step to step",
               .minimum = 0,
               .maximum = 1,
               .source = "report E"});
  options.add(&optimizer,
              {.name = "ascent-opt",
               .help = "update rule of the ascent",
               .choices = {"plain", "adam", "rmsprop"},
               .source = "plain: the reports; adam: lucid; rmsprop: keras-vis"});
  options.add(&normalize,
              {.name = "ascent-normalize",
               .help = "divide each image's gradient by its root mean square or its L2 norm",
               .choices = {"none", "rms", "l2"},
               .source = "rms: Chollet 2016; l2: keras-vis"});
  options.add(&objective,
              {.name = "ascent-objective",
               .help = "what of a filter's output map is raised: its mean, its sum or its middle position",
               .choices = {"mean", "sum", "center"},
               .source = "mean: report A; sum: report E; center: lucid's neuron"});
  options.add(&start,
              {.name = "ascent-start",
               .help = "first image: noise around mid-gray, the faces' mean, given faces, or mid-gray",
               .choices = {"noise", "mean-face", "faces", "gray"},
               .source = "faces: report D"});
  options.add(
      &noise,
      {.name = "ascent-noise",
       .help = "width of the noise as a share of the distance from black to white; 1 is uniform over all levels",
       .minimum = 0,
       .maximum = 1,
       .source = "20 of 255: Chollet 2016"});
  options.add(&seed, {.name = "ascent-seed", .help = "seed of noise and warps", .minimum = 0});
  options.add(
      &clamp,
      {.name = "ascent-clamp", .help = "keep pixels between black and white after every step", .source = "report E"});
  options.add(&keep_best,
              {.name = "ascent-keep-best",
               .help = "give the image with the highest objective, not the last",
               .source = "keras-vis"});
  options.add(&l2,
              {.name = "ascent-l2",
               .help = "weight of the mean square distance from mid-gray",
               .minimum = 0,
               .source = "Simonyan et al. 2014"});
  options.add(&lp,
              {.name = "ascent-lp",
               .help = "weight of the Lp norm of the distance from mid-gray, divided by the pixels",
               .minimum = 0,
               .source = "keras-vis"});
  options.add(
      &lp_power,
      {.name = "ascent-lp-power", .help = "p of the Lp norm", .minimum = 1, .maximum = 64, .source = "keras-vis"});
  options.add(&total_variation,
              {.name = "ascent-tv",
               .help = "weight of the total variation, divided by the pixels",
               .minimum = 0,
               .source = "Mahendran and Vedaldi 2015"});
  options.add(&tv_power,
              {.name = "ascent-tv-power",
               .help = "exponent beta of the total variation",
               .minimum = 0.5,
               .maximum = 8,
               .source = "keras-vis: 2; 1.25 in the course's example"});
  options.add(&blur,
              {.name = "ascent-blur",
               .help = "standard deviation of a Gaussian blur now and then; 0 does not blur",
               .unit = "pixels",
               .minimum = 0,
               .maximum = 16,
               .source = "Yosinski et al. 2015"});
  options.add(&blur_every,
              {.name = "ascent-blur-every",
               .help = "steps from blur to blur",
               .unit = "steps",
               .minimum = 1,
               .source = "Yosinski et al. 2015"});
  options.add(&jitter,
              {.name = "ascent-jitter",
               .help = "largest random shift before each step",
               .unit = "pixels",
               .minimum = 0,
               .maximum = 24,
               .source = "lucid"});
  options.add(&scale,
              {.name = "ascent-scale",
               .help = "largest random change of size before each step, as a share",
               .minimum = 0,
               .maximum = 0.9,
               .source = "lucid: 0.1"});
  options.add(&rotate,
              {.name = "ascent-rotate",
               .help = "largest random rotation before each step",
               .unit = "degrees",
               .minimum = 0,
               .maximum = 180,
               .source = "lucid: 10"});
  options.add(
      &fourier,
      {.name = "ascent-fourier",
       .help = "optimization in the image's spectrum instead of its pixels; black and white are then never reached",
       .source = "Olah et al. 2017"});
  options.add(&fourier_decay,
              {.name = "ascent-fourier-decay",
               .help = "how fast the spectrum's amplitudes fall with frequency; 0 is white, 1 natural images",
               .minimum = 0,
               .maximum = 4,
               .source = "lucid"});
  options.add(&snapshot_every,
              {.name = "ascent-snapshots",
               .help = "keep the image after every so many steps; 0 keeps none",
               .unit = "steps",
               .minimum = 0});
  options.add(&batch_size,
              {.name = "ascent-batch",
               .help = "images in one pass: bounds memory",
               .unit = "images",
               .minimum = 1,
               .maximum = 4096});
}

}  // namespace mien::explain
