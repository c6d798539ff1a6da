#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mien/core/progress.h"
#include "mien/serve/served_model.h"

namespace mien::serve {

/// A unit of a layer, and a position in its output.
struct UnitPlace {
  int layer = 0;
  int64_t unit = 0;
  int64_t y = 0, x = 0;
};

/// Every layer as JSON: name, kind, inputs, output, parameters, kernel, receptive field.
std::string layers_json(const network::Graph& graph);

/// Outputs of all units of a layer for a face: [units, height, width] as bytes in base64 between the layer's smallest
/// and largest value. Throws Error(usage) for a layer that does not exist.
std::string layer_output_json(const ServedModel& model, const std::vector<uint8_t>& face, int layer);

/// One unit: what it has learned, its output for a face, and, at a position, the pixels that it sees and the arithmetic
/// that gives its value there. Throws Error(usage) for a unit or a position that does not exist.
std::string unit_json(const ServedModel& model, const std::vector<uint8_t>& face, const UnitPlace& place);

/// The input that drives a unit most, as bytes in base64. Throws Error(interrupted).
std::string ascent_json(const ServedModel& model, const UnitPlace& place, int64_t steps, ProgressListener& listener);

/// What a layer's units respond to among the faces of a run's part: the faces at either end and the means by class, for
/// every unit. Throws RequestError for a part without faces, Error(interrupted).
std::string survey_json(const ServedModel& model,
                        const std::filesystem::path& run,
                        const std::string& part,
                        int layer,
                        ProgressListener& listener);

}  // namespace mien::serve
