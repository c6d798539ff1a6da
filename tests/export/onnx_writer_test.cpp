#include "mien/export/onnx_writer.h"

#include <bit>
#include <cmath>

#include <ATen/ATen.h>
#include <c10/util/Half.h>
#include <gtest/gtest.h>

namespace mien::exporting {
namespace {

TEST(HalfBits, AreThoseOfLibtorch) {
  std::vector<float> values{0, -0.0F, 1, -1, 65504, 65519, 65520, 1e9F, 0x1p-14F, 0x1p-24F, 0x1p-25F, 0x1.8p-25F};
  for (uint32_t bits = 1; bits < 0x7F000000U; bits += 40'009) values.push_back(std::bit_cast<float>(bits));
  for (const float value : values) {
    EXPECT_EQ(half_bits(value), c10::Half(value).x) << value;
    EXPECT_EQ(half_bits(-value), c10::Half(-value).x) << -value;
  }
  EXPECT_EQ(half_bits(INFINITY), 0x7C00U);
}

TEST(OnnxWriter, GivesEveryNodeANameOfItsOwn) {
  onnx::GraphProto graph;
  OnnxWriter writer(graph);
  writer.input("faces", onnx::TensorProto::FLOAT, {4});
  writer.tensor("w", {1}, {1});
  EXPECT_EQ(writer.node("Relu", {"faces"}, "faces"), "faces_");
  EXPECT_EQ(writer.node("Relu", {"faces"}, "faces"), "faces__");
  EXPECT_EQ(writer.node("Relu", {"faces"}, "w"), "w_");
}

TEST(OnnxWriter, QuantizesWeightsByOutput) {
  onnx::GraphProto graph;
  OnnxWriter writer(graph);
  writer.tensor("w", {2, 2}, {1, -0.5F, 100, 25});
  writer.quantized_weight("w");
  const auto& levels = graph.initializer(0).raw_data();
  EXPECT_EQ(static_cast<int8_t>(levels[0]), 127);
  EXPECT_EQ(static_cast<int8_t>(levels[1]), -64);
  EXPECT_EQ(static_cast<int8_t>(levels[2]), 127);
  EXPECT_EQ(static_cast<int8_t>(levels[3]), 32);
}

}  // namespace
}  // namespace mien::exporting
