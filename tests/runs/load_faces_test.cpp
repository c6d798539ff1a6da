#include "mien/runs/load_faces.h"

#include <numeric>

#include "core/temporary_folder.h"
#include <gtest/gtest.h>

#include "mien/core/error.h"
#include "mien/data/readers/image_io.h"
#include "mien/network/graph/graph.h"

namespace mien::runs {
namespace {

/// Three faces of 2x2 pixels.
data::Dataset three_faces() {
  data::Dataset faces;
  faces.height = faces.width = 2;
  faces.source = "faces.csv";
  faces.class_names = {"Happiness", "sad", "contempt"};
  faces.pixels.resize(12);
  std::iota(faces.pixels.begin(), faces.pixels.end(), uint8_t{0});
  faces.labels = {0, 1, data::kUnlabeled};
  faces.usages.assign(3, data::Usage::unknown);
  faces.ids = {0, 1, 2};
  faces.label_distribution = {0.75F, 0.25F, 0, 0, 1, 0, 0.5F, 0.5F, 0};
  return faces;
}

TEST(LoadFaces, MatchesClassesByNameWhateverTheirOrder) {
  data::Dataset faces = three_faces();
  match_classes(faces, {"sad", "neutral", "happy"}, "net");
  EXPECT_EQ(faces.class_names, (std::vector<std::string>{"sad", "neutral", "happy"}));
  EXPECT_EQ(faces.labels, (std::vector<int32_t>{2, 0, data::kUnlabeled}));
  EXPECT_EQ(faces.label_distribution, (std::vector<float>{0.25F, 0, 0.75F, 1, 0, 0, 0.5F, 0, 0.5F}));
  const data::Dataset before = faces;
  match_classes(faces, {}, "weights that name no classes");
  EXPECT_EQ(faces.labels, before.labels);
}

TEST(LoadFaces, NamesTheFacesOfClassesThatTheNetworkDoesNotKnow) {
  data::Dataset faces = three_faces();
  faces.labels[2] = 2;
  try {
    match_classes(faces, {"sad", "happy"}, "net");
    FAIL() << "contempt is no class of the network";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_data);
    EXPECT_NE(std::string(error.what()).find("contempt (1 faces)"), std::string::npos) << error.what();
    EXPECT_NE(error.hint().find("--classes"), std::string::npos) << error.hint();
  }
}

TEST(LoadFaces, ReadsColorForANetworkOfThreeChannelsAndRepeatsGray) {
  const TemporaryFolder folder;
  const auto network = folder.write("color.toml",
                                    "name = \"color\"\nsource = \"a test\"\ninput = [3, 8, 8]\n"
                                    "layers = [\"flatten\", { dense = 7 }]\n");
  const network::Graph graph = network::load_graph(network.string());
  std::string csv = "emotion,pixels\n3,";
  for (int k = 0; k < 64; ++k) csv += std::to_string(k) + (k < 63 ? " " : "\n");
  data::DataOptions options;
  options.data = folder.write("faces.csv", csv).string();
  const data::Dataset gray = load_faces(options, graph, silent_listener());
  ASSERT_EQ(gray.channels, 3);
  ASSERT_EQ(gray.pixels.size(), 192U);
  for (size_t k = 0; k < 192; ++k) EXPECT_EQ(gray.pixels[k], k % 64);
  EXPECT_EQ(tile_pixels(gray, 0)[3 * 5 + 2], 5);
  if (!data::has_image_files()) return;
  std::vector<uint8_t> red(192, 0);
  for (size_t k = 0; k < 64; ++k) red[3 * k] = 200;
  data::write_png_rgb(folder.path() / "data" / "happy" / "a.png", red, 8, 8);
  options.data = (folder.path() / "data").string();
  options.image_side = 8;
  const data::Dataset color = load_faces(options, graph, silent_listener());
  ASSERT_EQ(color.channels, 3);
  EXPECT_EQ(color.pixels[0], 200);
  EXPECT_EQ(color.pixels[64], 0);
  EXPECT_EQ(tile_pixels(color, 0)[0], 200);
  EXPECT_EQ(tile_pixels(color, 0)[1], 0);
}

}  // namespace
}  // namespace mien::runs
