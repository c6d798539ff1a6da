#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mien/core/progress.h"
#include "mien/data/load.h"
#include "mien/network/network.h"

namespace mien::runs {

/// Reads the faces that `options` names as `graph` takes them: pictures in color where it has 3 channels. Gray faces
/// (of a csv, or drawn) are repeated in all channels. Throws as data::load does.
data::Dataset load_faces(data::DataOptions options, const network::Graph& graph, ProgressListener& listener);

/// The same for a trained network: pictures get the side of its input, and labels become its classes by name, in
/// whatever order the data have them. Throws Error(bad_data) for faces of a class that the network does not know.
data::Dataset load_faces(data::DataOptions options, const network::LoadedWeights& loaded, ProgressListener& listener);

/// Gives `faces` the classes `classes`, by name (any case, usual synonyms). Throws Error(bad_data) where faces are of
/// another class; `network` and the data's source stand in the message.
void match_classes(data::Dataset& faces, const std::vector<std::string>& classes, const std::string& network);

/// A face as report::Tile takes it: gray [height, width], or color [height, width, 3].
std::vector<uint8_t> tile_pixels(const data::Dataset& dataset, int64_t index);

}  // namespace mien::runs
