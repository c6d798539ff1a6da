#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mien/core/options.h"
#include "mien/explain/faithfulness/faithfulness.h"
#include "mien/figures/face_maps.h"
#include "mien/figures/picture_options.h"

namespace mien::figures {

class FigureOutput;

/// What the network looks at, by the methods of the method table.
struct MapFigure {
  static constexpr const char* kKind = "map";
  PictureOptions picture{.file = "{method}/row{row}.png"};
  std::string faces = "correct-per-class";
  MapOptions map;
  std::vector<std::string> panels{"image", "map", "overlay"};
  bool recall = false;  ///< say how often faces of the class are recognized
  bool measure = true;  ///< measure how faithful each map is
  explain::FaithfulnessOptions faithfulness;

  void bind(OptionSet& options);
  void check(const network::Graph& graph) const;
  std::string unused(std::string_view option) const;
  void draw(ExplainContext& context, FigureOutput& output) const;
  std::string part() const;
};

/// What a figure asks of its faces, as the methods take it.
struct FaceRequest {
  std::vector<Face> faces;
  explain::AttributionRequest request;
  at::Tensor evidence;             ///< [N,H,W]: where drawn faces carry their expression; undefined for other data
  explain::MethodOptions options;  ///< with the faces that expected-gradients draws from
};
FaceRequest face_request(const MapFigure& figure, ExplainContext& context);

}  // namespace mien::figures
