#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "explain/inside_testing.h"

#include "mien/explain/units/filters.h"
#include "mien/explain/units/receptive_field.h"
#include "mien/explain/units/units.h"

namespace mien::explain {
namespace {

using network::Graph;
using network::Mode;
using network::Network;

/// The smallest rectangle of pixels that a position's gradient touches, over all channels, in double precision and
/// without activations that could be off: what the position can depend on.
PixelWindow footprint(const Network& network, int layer, int64_t y, int64_t x) {
  const at::AutoGradMode with_gradient(true);
  const at::Tensor images = network::random_images(network.graph(), 24, 77).set_requires_grad(true);
  at::Tensor output;
  network.forward_visit(images, Mode::evaluation, [&](int index, const at::Tensor& values) {
    if (index == layer) output = values;
  });
  output.select(3, x).select(2, y).sum().backward();
  const at::Tensor touched = images.grad().abs().amax(0).amax(0) > 0;
  const at::Tensor rows = touched.any(1).nonzero().flatten();
  const at::Tensor columns = touched.any(0).nonzero().flatten();
  return {.top = rows.min().item<int64_t>(),
          .left = columns.min().item<int64_t>(),
          .bottom = rows.max().item<int64_t>() + 1,
          .right = columns.max().item<int64_t>() + 1};
}

Graph mixed_graph() {
  return network::graph_of(
      R"({ conv = 4, kernel = 3, stride = 2, padding = "same" }, { leaky_relu = 0.3 },
         { residual = [{ conv = 4, kernel = 3, padding = "same" }, { leaky_relu = 0.3 }] }, { max_pool = 2 },
         { conv = 6, kernel = 3 }, { avg_pool = 2 }, { leaky_relu = 0.3 }, "flatten", { dense = 3 })",
      "[2, 26, 23]");
}

TEST(ReceptiveField, IsTheFootprintFoundByGradients) {
  const Network network = lively(mixed_graph());
  const Graph& graph = network.graph();
  int checked = 0;
  for (int layer = 0; layer < static_cast<int>(graph.layers.size()); ++layer) {
    const network::Shape shape = graph.layers[static_cast<size_t>(layer)].output_shape;
    if (shape.is_flat) continue;
    for (const int64_t y : {int64_t{0}, shape.height / 2, shape.height - 1}) {
      for (const int64_t x : {int64_t{0}, shape.width / 2, shape.width - 1}) {
        const PixelWindow expected = footprint(network, layer, y, x);
        const PixelWindow found = receptive_window(graph, layer, y, x);
        EXPECT_EQ(found, expected) << graph.layers[static_cast<size_t>(layer)].name << " " << y << "," << x << ": "
                                   << found.top << "-" << found.bottom << " " << found.left << "-" << found.right
                                   << ", expected " << expected.top << "-" << expected.bottom << " " << expected.left
                                   << "-" << expected.right;
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 80);
}

TEST(ReceptiveField, IsTheLargestBranchsAndTheWholeImageBehindAGroupNorm) {
  const Graph graph = network::graph_of(
      R"({ concat = [[{ conv = 2, kernel = 3, padding = 1 }], [{ conv = 2, kernel = 5, padding = 2 }], []] }, "layer_norm",
         "gelu", { group_norm = 5 }, "global_max_pool", "flatten")",
      "[1, 20, 20]");
  EXPECT_EQ(receptive_window(graph, graph.index_of("conv1"), 10, 10), (PixelWindow{9, 9, 12, 12}));
  EXPECT_EQ(receptive_window(graph, graph.index_of("gelu1"), 10, 10), (PixelWindow{8, 8, 13, 13}));
  EXPECT_FALSE(receptive_field(graph, graph.index_of("gelu1")).is_whole_image);
  EXPECT_TRUE(receptive_field(graph, graph.index_of("group_norm1")).is_whole_image);
  EXPECT_TRUE(receptive_field(graph, graph.index_of("global_max_pool1")).is_whole_image);
}

TEST(ReceptiveField, CoversExactlyThePixelsThatChangeAnOutput) {
  const Network network = lively(network::load_graph("leaky4"));
  const Graph& graph = network.graph();
  const int layer = graph.index_of("conv3");
  const PixelWindow window = receptive_window(graph, layer, 5, 2);
  const at::NoGradGuard no_grad;
  const at::Tensor image = network::random_images(graph, 1);
  const auto look = [&](const at::Tensor& at) {
    return layer_outputs(network, at, {layer}).front()[0].select(2, 2).select(1, 5);
  };
  const at::Tensor before = look(image);
  const auto changes = [&](int64_t y, int64_t x) {
    at::Tensor other = image.clone();
    other[0][0][y][x] += 50;
    return !at::equal(look(other), before);
  };
  const int64_t middle_y = (window.top + window.bottom) / 2;
  const int64_t middle_x = (window.left + window.right) / 2;
  EXPECT_TRUE(changes(window.top, middle_x));
  EXPECT_FALSE(changes(window.top - 1, middle_x));
  EXPECT_TRUE(changes(window.bottom - 1, middle_x));
  EXPECT_FALSE(changes(window.bottom, middle_x));
  EXPECT_TRUE(changes(middle_y, window.right - 1));
  EXPECT_FALSE(changes(middle_y, window.right));
}

TEST(ReceptiveField, HasTheSizesWorkedOutByHand) {
  // box3: conv 5 sees 5; pool 2 adds 1, conv 5 adds 4 * 2; pool 2 adds 2, conv 5 adds 4 * 4.
  const Graph graph = network::load_graph("box3");
  EXPECT_EQ(receptive_field(graph, graph.index_of("conv1")).height, 5);
  EXPECT_EQ(receptive_field(graph, graph.index_of("conv2")).height, 5 + 1 + 8);
  const ReceptiveField third = receptive_field(graph, graph.index_of("conv3"));
  EXPECT_EQ(third.width, 14 + 2 + 16);
  EXPECT_EQ(third.stride, 4);
  EXPECT_EQ(third.offset_y, -2 - 2 * 2 - 2 * 4);
  EXPECT_TRUE(receptive_field(graph, graph.index_of("dense1")).is_whole_image);
  EXPECT_EQ(receptive_window(graph, graph.index_of("dense1"), 0, 0), (PixelWindow{0, 0, 48, 48}));
}

TEST(Filters, AreTheConvolutionsWeights) {
  const Network network = lively(network::load_graph("leaky4"));
  const auto filters = convolution_weights(network);
  ASSERT_EQ(filters.size(), 4U);
  EXPECT_EQ(filters[2].name, "conv3");
  EXPECT_TRUE(at::equal(filters[2].weight, network.tensor("conv3.weight")));
  EXPECT_TRUE(filters[2].weight.is_contiguous());
  EXPECT_TRUE(at::equal(weight_pictures(network, filters[2].layer, 5), network.tensor("conv3.weight").select(1, 5)));
  const Network dense = lively(network::load_graph("dnn3"));
  EXPECT_TRUE(convolution_weights(dense).empty());
  const at::Tensor pictures = weight_pictures(dense, dense.graph().index_of("dense1"));
  EXPECT_EQ(pictures.sizes(), (std::vector<int64_t>{512, 48, 48}));
  EXPECT_EQ(pictures[7][3][5].item<float>(), dense.tensor("dense1.weight")[7][3 * 48 + 5].item<float>());
  EXPECT_EQ(network::error_of([&] { weight_pictures(dense, dense.graph().index_of("dense2")); }),
            "usage: dense2 of dnn3 has no weights that are pictures. hint: convolutions have, and dense layers that "
            "read the image");
}

TEST(LayerOutputs, AreThoseOfTheWholePassWhateverTheBatch) {
  const Network network = lively(network::load_graph("leaky4"));
  const at::Tensor images = network::random_images(network.graph(), 5);
  const std::vector<int> layers{
      network.graph().index_of("conv3"), network.graph().index_of("conv1"), network.graph().index_of("dense1")};
  const auto found = layer_outputs(network, images, layers, 2);
  std::map<int, at::Tensor> expected;
  const at::NoGradGuard no_grad;
  network.forward_visit(
      images, Mode::evaluation, [&](int layer, const at::Tensor& output) { expected[layer] = output; });
  for (size_t i = 0; i < layers.size(); ++i)
    EXPECT_LT(network::relative_difference(found[i], expected[layers[i]]), 1e-5);
}

TEST(ParseUnits, ReadsListsAndRanges) {
  const Graph graph = network::load_graph("leaky4");
  const int layer = graph.index_of("conv1");
  EXPECT_EQ(parse_units("all", graph, layer).size(), 32U);
  EXPECT_EQ(parse_units("first 64", graph, layer).size(), 32U);
  EXPECT_EQ(parse_units("first 2", graph, layer), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(parse_units("3, 7-9 ,0", graph, layer), (std::vector<int64_t>{3, 7, 8, 9, 0}));
  EXPECT_EQ(network::error_of([&] { parse_units("30-40", graph, layer); }),
            "usage: conv1 has no units 30-40, expected 0 to 31");
  for (const char* text : {"", "x", "-3", "first", "first 0", "1,,2", "1-", "first x"}) {
    EXPECT_NE(network::error_of([&] { parse_units(text, graph, layer); }), "") << text;
  }
}

TEST(Tile, PutsPicturesInRows) {
  const at::Tensor pictures = at::arange(3 * 2 * 2, at::kFloat).view({3, 2, 2});
  const at::Tensor picture = tile(pictures, 2, 1, -1);
  EXPECT_EQ(picture.sizes(), (std::vector<int64_t>{5, 5}));
  EXPECT_TRUE(at::equal(picture.slice(0, 0, 2).slice(1, 3, 5), pictures[1]));
  EXPECT_TRUE(at::equal(picture.slice(0, 3, 5).slice(1, 0, 2), pictures[2]));
  EXPECT_TRUE((picture.slice(0, 3, 5).slice(1, 2, 5) == -1).all().item<bool>());
  EXPECT_EQ(tile(at::zeros({64, 48, 48})).sizes(), (std::vector<int64_t>{8 * 49 - 1, 8 * 49 - 1}));
}

data::Dataset random_faces(const Graph& graph, int64_t count) {
  const network::Shape shape = graph.input_shape();
  data::Dataset faces{.channels = shape.channels, .height = shape.height, .width = shape.width};
  faces.source = "random faces";
  RandomStream random(2, "faces");
  for (int64_t i = 0; i < count * faces.pixels_per_image(); ++i)
    faces.pixels.push_back(static_cast<uint8_t>(random.below(256)));
  for (int64_t i = 0; i < count; ++i) {
    faces.labels.push_back(i % 5 == 4 ? data::kUnlabeled : static_cast<int32_t>(random.below(3)));
    faces.usages.push_back(data::Usage::unknown);
    faces.ids.push_back(i);
  }
  return faces;
}

TEST(UnitSurvey, FindsTheFacesAndMeansOfBruteForce) {
  const Network network = lively(mixed_graph());
  const Graph& graph = network.graph();
  const data::Dataset faces = random_faces(graph, 41);
  std::vector<int64_t> rows;
  for (int64_t row = 40; row > 0; --row) rows.push_back(row);
  for (const char* name : {"conv2", "leaky_relu3", "dense1"}) {
    const int layer = graph.index_of(name);
    for (const char* score : {"max", "mean"}) {
      const UnitSurvey survey =
          survey_units(network, {}, faces, rows, layer, {.faces = 6, .score = score, .batch_size = 7});
      const int64_t units = unit_count(graph, layer);
      ASSERT_EQ(survey.most.size(), static_cast<size_t>(units));
      for (int64_t unit = 0; unit < units; ++unit) {
        std::vector<std::pair<double, int64_t>> by_activation;
        std::vector<double> class_sum(7);
        std::vector<int64_t> class_count(7);
        double sum = 0;
        int64_t active = 0;
        for (const int64_t row : rows) {
          at::Tensor image = at::empty({1, 2, 26, 23}, at::kFloat);
          for (int64_t i = 0; i < image.numel(); ++i)
            image.data_ptr<float>()[i] = static_cast<float>(faces.image(row)[static_cast<size_t>(i)]) / 255.0F;
          const at::Tensor map = layer_outputs(network, image, {layer}).front()[0][unit];
          const double value = (score == std::string("max") ? map.max() : map.mean()).item<double>();
          by_activation.emplace_back(value, row);
          sum += value;
          active += map.max().item<double>() > 0 ? 1 : 0;
          const int32_t label = faces.labels[static_cast<size_t>(row)];
          if (label < 0) continue;
          class_sum[static_cast<size_t>(label)] += value;
          ++class_count[static_cast<size_t>(label)];
        }
        std::sort(by_activation.begin(), by_activation.end());
        for (size_t i = 0; i < 6; ++i) {
          const auto& most = survey.most[static_cast<size_t>(unit)][i];
          const auto& least = survey.least[static_cast<size_t>(unit)][i];
          EXPECT_EQ(most.row, by_activation[by_activation.size() - 1 - i].second)
              << name << " " << score << " " << unit;
          EXPECT_NEAR(most.activation, by_activation[by_activation.size() - 1 - i].first, 1e-5);
          EXPECT_EQ(least.row, by_activation[i].second) << name << " " << score << " " << unit;
          EXPECT_EQ(most.window, receptive_window(graph, layer, most.y, most.x));
        }
        for (size_t label = 0; label < 7; ++label) {
          const double mean = survey.class_means[unit][static_cast<int64_t>(label)].item<double>();
          EXPECT_EQ(survey.class_faces[label], class_count[label]);
          if (class_count[label] == 0) {
            EXPECT_TRUE(std::isnan(mean));
          } else {
            EXPECT_NEAR(mean, class_sum[label] / static_cast<double>(class_count[label]), 1e-5);
          }
        }
        EXPECT_NEAR(survey.mean[unit].item<double>(), sum / 40, 1e-5);
        EXPECT_NEAR(survey.active_share[unit].item<double>(), static_cast<double>(active) / 40, 1e-12);
      }
    }
  }
}

/// A survey with these class means, in which no activation is below `least`.
UnitSurvey survey_of(const at::Tensor& class_means, const at::Tensor& deviation, float least) {
  UnitSurvey survey{.layer = 1, .score = "mean"};
  survey.class_means = class_means;
  survey.mean = at::nan_to_num(class_means, 0).mean(1);
  survey.deviation = deviation;
  survey.least.assign(static_cast<size_t>(class_means.size(0)), {{.row = 0, .activation = least}});
  return survey;
}

TEST(ClassSelectivity, IsTheIndexOfMorcosWhereNothingIsNegative) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  // Worked out by hand: (3 - (1 + 2)/2) / (3 + 1.5); one class only: 1; a class without faces left out; dead; constant.
  const at::Tensor means =
      at::tensor({1.0, 3.0, 2.0, 0.0, 0.0, 4.0, 1.0, kNone, 3.0, 0.0, 0.0, 0.0, 2.0, 2.0, 2.0}, at::kDouble)
          .reshape({5, 3});
  const ClassSelectivity found =
      class_selectivity(survey_of(means, at::tensor({1.0, 1.0, 1.0, 0.0, 0.0}, at::kDouble), 0));
  EXPECT_TRUE(found.is_index);
  EXPECT_EQ(found.preferred, (std::vector<int64_t>{1, 2, 2, -1, -1}));
  EXPECT_NEAR(found.values[0], 1.0 / 3, 1e-15);
  EXPECT_EQ(found.values[1], 1);
  EXPECT_NEAR(found.values[2], 0.5, 1e-15);
  EXPECT_TRUE(std::isnan(found.values[3]));
  EXPECT_EQ(found.values[4], 0);
}

TEST(ClassSelectivity, IsADifferenceInDeviationsWhereSomethingIsNegative) {
  const at::Tensor means = at::tensor({-1.0, -3.0, -2.0, 1.0, 3.0, 2.0}, at::kDouble).reshape({2, 3});
  const ClassSelectivity found = class_selectivity(survey_of(means, at::tensor({0.5, 2.0}, at::kDouble), -0.1F));
  EXPECT_FALSE(found.is_index);
  EXPECT_EQ(found.preferred, (std::vector<int64_t>{0, 1}));
  EXPECT_NEAR(found.values[0], 1.5 / 0.5, 1e-15);
  EXPECT_NEAR(found.values[1], 1.5 / 2, 1e-15);
}

TEST(StandardizedMeans, AreInTheUnitsDeviationsAndNothingForAConstant) {
  const at::Tensor means = at::tensor({1.0, 3.0, 2.0, 5.0, 5.0, 5.0}, at::kDouble).reshape({2, 3});
  const at::Tensor found = standardized_means(survey_of(means, at::tensor({0.5, 1e-14}, at::kDouble), 0));
  EXPECT_TRUE(found[0].allclose(at::tensor({-2.0, 2.0, 0.0}, at::kDouble)));
  EXPECT_TRUE(found[1].isnan().all().item<bool>());
}

TEST(UnitSurvey, PutsTheFaceWithThePlantedPatternFirstAndCropsIt) {
  // A filter that looks for one bright pixel; one face has it at (9, 4).
  const Network network = lively(
      network::graph_of(R"({ conv = 1, kernel = 3, padding = "same" }, "flatten", { dense = 7 })", "[1, 12, 12]"));
  at::Tensor weight = network.tensor("conv1.weight");
  weight.zero_();
  weight[0][0][1][1] = 1;
  data::Dataset faces = random_faces(network.graph(), 20);
  for (uint8_t& pixel : faces.pixels) pixel = static_cast<uint8_t>(pixel / 2);
  faces.pixels[static_cast<size_t>(13 * 144 + 9 * 12 + 4)] = 255;
  std::vector<int64_t> rows(20);
  std::iota(rows.begin(), rows.end(), 0);
  const UnitSurvey survey = survey_units(network, {}, faces, rows, 1, {.faces = 3});
  const UnitFace& first = survey.most[0][0];
  EXPECT_EQ(first.row, 13);
  EXPECT_EQ(first.y, 9);
  EXPECT_EQ(first.x, 4);
  const at::Tensor pixels = crop(faces, first);
  EXPECT_EQ(pixels.sizes(), (std::vector<int64_t>{1, 3, 3}));
  EXPECT_EQ(pixels[0][1][1].item<int>(), 255);
  EXPECT_EQ(pixels[0][0][2].item<int>(), faces.image(13)[8 * 12 + 5]);
}

TEST(UnitSurvey, TellsEqualFacesApartByTheirRow) {
  const Network network = lively(mixed_graph());
  data::Dataset faces = random_faces(network.graph(), 1);
  for (int i = 1; i < 5; ++i) faces = data::concatenate(faces, random_faces(network.graph(), 1));
  const std::vector<int64_t> rows{3, 1, 4, 0, 2};
  const UnitSurvey survey = survey_units(network, {}, faces, rows, 1, {.faces = 2, .batch_size = 5});
  EXPECT_EQ(survey.most[0][0].row, 0);
  EXPECT_EQ(survey.most[0][1].row, 1);
  EXPECT_EQ(survey.least[0][0].row, 0);
}

}  // namespace
}  // namespace mien::explain
