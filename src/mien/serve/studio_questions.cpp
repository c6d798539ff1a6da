#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/data/faces/crop.h"
#include "mien/data/faces/find_faces.h"
#include "mien/data/readers/image_io.h"
#include "mien/report/base64.h"
#include "mien/serve/part_faces.h"
#include "mien/serve/studio.h"
#include "mien/serve/unit_view.h"

namespace mien::serve {

/// A JSON object of known keys. Everything throws RequestError(400).
class RequestBody {
 public:
  RequestBody(std::string_view text, const std::vector<std::string>& keys)
      : json_(nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false)) {
    if (!json_.is_object()) throw RequestError{400, "the body is no JSON object"};
    for (const auto& [key, value] : json_.items()) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end())
        throw RequestError{400, fmt::format("unknown key {}: {}", quote_sample(key), suggestion(key, keys))};
    }
  }
  bool has(const char* key) const { return json_.contains(key); }
  const nlohmann::json& operator[](const char* key) const { return json_[key]; }
  int64_t whole(const char* key) const {
    if (!has(key) || !json_[key].is_number_integer())
      throw RequestError{400, fmt::format("{} is missing or no whole number", key)};
    return json_[key].get<int64_t>();
  }
  int64_t whole(const char* key, int64_t otherwise) const { return has(key) ? whole(key) : otherwise; }
  std::string text(const char* key, const char* otherwise) const {
    if (!has(key)) return otherwise;
    if (!json_[key].is_string()) throw RequestError{400, fmt::format("{} is no text", key)};
    return json_[key].get<std::string>();
  }

 private:
  nlohmann::json json_;
};

namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr int64_t kMostAscentSteps = 2000;

/// The bytes of base64 `text`; nothing if it is none.
std::optional<std::vector<uint8_t>> from_base64(std::string_view text) {
  std::vector<uint8_t> bytes;
  uint32_t bits = 0;
  int count = 0;
  while (text.ends_with('=')) text.remove_suffix(1);
  for (const char c : text) {
    const uint32_t value = c >= 'A' && c <= 'Z'   ? static_cast<uint32_t>(c - 'A')
                           : c >= 'a' && c <= 'z' ? static_cast<uint32_t>(c - 'a' + 26)
                           : c >= '0' && c <= '9' ? static_cast<uint32_t>(c - '0' + 52)
                           : c == '+'             ? 62
                           : c == '/'             ? 63
                                                  : 64;
    if (value == 64) return std::nullopt;
    bits = bits << 6 | value;
    if ((count += 6) >= 8) bytes.push_back(static_cast<uint8_t>(bits >> (count -= 8)));
  }
  return bytes;
}

std::string option_text(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) {
    std::vector<std::string> parts;
    for (const auto& one : value) {
      if (one.is_array()) throw RequestError{400, "an option is no list of lists"};
      parts.push_back(option_text(one));
    }
    return join(parts, ",");
  }
  if (value.is_object() || value.is_null()) throw RequestError{400, "an option is a text, a number, true or false"};
  return value.dump();
}

int layer_of(const RequestBody& body, const network::Graph& graph) {
  if (!body.has("layer")) throw RequestError{400, "layer is missing"};
  try {
    return graph.index_of(body.text("layer", ""));
  } catch (const Error& error) {
    throw RequestError{404, error.line()};
  }
}

/// The picture's middle.
Studio::Square middle(const data::RgbImage& image) {
  const auto side = static_cast<double>(std::min(image.width, image.height));
  return {(static_cast<double>(image.width) - side) / 2, (static_cast<double>(image.height) - side) / 2, side};
}

/// Faces of a picture; none in a build that cannot look for them.
std::vector<data::FoundFace> faces_of(const data::RgbImage& image) {
  try {
    return data::FaceFinder({.eyes = false}).find(image);
  } catch (const Error&) {
    return {};
  }
}

std::vector<uint8_t> cropped(const data::RgbImage& image, const Studio::Square& square, const ModelInput& input) {
  const data::FaceBox box{square.x, square.y, square.side, square.side};
  if (input.channels == 1 && input.height == input.width) return data::crop_gray(image, box, input.height).pixels;
  return as_input(data::crop_rgb(image, box, std::max(input.height, input.width)), input);
}

}  // namespace

Question Studio::question(std::string_view text, bool explains) const {
  const RequestBody body(text, {"model", "part", "index", "pixels", "method", "target", "measure", "options"});
  Question question = about_face(body);
  question.method = body.text("method", explains ? "grad-cam" : "");
  if (!explains && !question.method.empty()) throw RequestError{400, "a prediction has no method"};
  if (explains) {
    const auto& known = models_->methods(question.model);
    if (std::find(known.begin(), known.end(), question.method) == known.end())
      throw RequestError{
          400, fmt::format("unknown method {}: {}", quote_sample(question.method), suggestion(question.method, known))};
  }
  question.target = body.text("target", "predicted");
  if (body.has("measure")) {
    if (!body["measure"].is_boolean()) throw RequestError{400, "measure is neither true nor false"};
    question.measure = body["measure"].get<bool>();
  }
  if (body.has("options")) {
    if (!body["options"].is_object()) throw RequestError{400, "options is no object"};
    for (const auto& [key, value] : body["options"].items()) question.options[key] = option_text(value);
  }
  return question;
}

size_t Studio::known_model(int64_t model) const {
  if (model < 0 || model >= static_cast<int64_t>(model_count()))
    throw RequestError{404, fmt::format("there is no model {}", model)};
  return static_cast<size_t>(model);
}

Question Studio::about_face(const RequestBody& body) const {
  Question question;
  question.model = known_model(body.whole("model"));
  const ModelInput& input = models_->input(question.model);
  if (!body.has("pixels")) {
    question.pixels = part_face(model_folder(question.model), body.text("part", "val"), body.whole("index"), input);
    return question;
  }
  const auto bytes = from_base64(body.text("pixels", ""));
  const auto expected = static_cast<size_t>(input.channels * input.height * input.width);
  if (!bytes || bytes->size() != expected)
    throw RequestError{400, fmt::format("pixels are not {} bytes in base64", expected)};
  question.pixels = *bytes;
  return question;
}

Question Studio::layer_question(std::string_view text) const {
  const RequestBody body(text, {"model", "part", "index", "pixels", "layer"});
  Question question = about_face(body);
  const int layer = layer_of(body, models_->graph(question.model));
  question.work = [pixels = question.pixels, layer](ServedModel& model, ProgressListener&) {
    return layer_output_json(model, pixels, layer);
  };
  return question;
}

Question Studio::unit_question(std::string_view text) const {
  const RequestBody body(text, {"model", "part", "index", "pixels", "layer", "unit", "y", "x"});
  Question question = about_face(body);
  const UnitPlace place{.layer = layer_of(body, models_->graph(question.model)),
                        .unit = body.whole("unit"),
                        .y = body.whole("y", 0),
                        .x = body.whole("x", 0)};
  question.work = [pixels = question.pixels, place](ServedModel& model, ProgressListener&) {
    return unit_json(model, pixels, place);
  };
  return question;
}

Question Studio::ascent_question(std::string_view text) const {
  const RequestBody body(text, {"model", "layer", "unit", "steps"});
  Question question;
  question.model = known_model(body.whole("model"));
  const UnitPlace place{.layer = layer_of(body, models_->graph(question.model)), .unit = body.whole("unit")};
  const int64_t steps = body.whole("steps", 128);
  if (steps < 1 || steps > kMostAscentSteps)
    throw RequestError{400, fmt::format("steps is {}, expected 1 to {}", steps, kMostAscentSteps)};
  question.work = [place, steps](ServedModel& model, ProgressListener& listener) {
    return ascent_json(model, place, steps, listener);
  };
  return question;
}

Question Studio::survey_question(std::string_view text) const {
  const RequestBody body(text, {"model", "layer", "part"});
  Question question;
  question.model = known_model(body.whole("model"));
  const int layer = layer_of(body, models_->graph(question.model));
  const std::string part = body.text("part", "val");
  const ModelInput& input = models_->input(question.model);
  const fs::path run = model_folder(question.model);
  part_face(run, part, 0, input);  // throws where there is none
  question.work = [run, part, layer](ServedModel& model, ProgressListener& listener) {
    std::string& known = model.texts[fmt::format("survey {} {}", part, layer)];
    if (known.empty()) known = survey_json(model, run, part, layer, listener);
    return known;
  };
  return question;
}

Question Studio::neighbors_question(size_t model, const std::string& part, int64_t index) const {
  constexpr int64_t kNeighbors = 12;
  Question question;
  question.model = known_model(static_cast<int64_t>(model));
  const fs::path run = model_folder(question.model);
  part_face(run, part, index, models_->input(question.model));  // throws where there is none
  question.work = [run, part, index](ServedModel& asked, ProgressListener& listener) {
    return neighbors_json(asked, run, part, index, kNeighbors, listener);
  };
  return question;
}

std::string Studio::layers(size_t model) const {
  return layers_json(models_->graph(known_model(static_cast<int64_t>(model))));
}

std::string Studio::photo(size_t model, std::string_view bytes, const std::optional<Square>& wished) const {
  const ModelInput& input = models_->input(known_model(static_cast<int64_t>(model)));
  if (wished && wished->side < 1) throw RequestError{400, "side is below 1 pixel"};
  try {
    const data::RgbImage image = data::decode_rgb(bytes);
    const data::CropRecipe recipe = data::CropRecipe::of(models_->metadata(model));
    ordered_json faces = ordered_json::array();
    std::optional<Square> largest;
    if (!wished) {
      for (const data::FoundFace& face : faces_of(image)) {
        const data::FaceBox square = data::crop_square(face.box, recipe);
        if (!largest) largest = Square{square.x, square.y, square.width};
        faces.push_back({{"x", square.x}, {"y", square.y}, {"side", square.width}});
      }
    }
    const Square square = wished ? *wished : largest.value_or(middle(image));
    const auto pixels = cropped(image, square, input);
    const std::string_view view(reinterpret_cast<const char*>(pixels.data()), pixels.size());
    return ordered_json{{"width", image.width},
                        {"height", image.height},
                        {"faces", std::move(faces)},
                        {"crop", {{"x", square.x}, {"y", square.y}, {"side", square.side}}},
                        {"pixels", report::base64(view)}}
        .dump();
  } catch (const Error& error) {
    throw RequestError{400, error.line()};
  }
}

std::string Studio::desks_json() const {
  ordered_json list = ordered_json::array();
  const std::lock_guard lock(mutex_);
  std::vector<size_t> audited;
  for (size_t d = 0; d < documents_.size(); ++d) {
    if (documents_[d]->audit.empty()) continue;
    audited.push_back(d);
    list.push_back(
        {{"id", fmt::format("audit-{}", d)}, {"name", documents_[d]->title}, {"kind", "audit"}, {"part", "val"}});
  }
  for (size_t r = 0; r < runs_.size(); ++r) {
    const ServedRun& run = runs_[r];
    if (!run.document || !run.model || std::count(audited.begin(), audited.end(), *run.document) > 0) continue;
    for (const char* part : {"val", "public_test"}) {
      std::error_code ignored;
      if (!fs::is_regular_file(run.folder / fmt::format("predictions_{}.csv", part), ignored) ||
          !fs::is_regular_file(run.folder / "faces" / fmt::format("{}.json", part), ignored))
        continue;
      list.push_back(
          {{"id", fmt::format("run-{}-{}", r, part)}, {"name", run.name}, {"kind", "losses"}, {"part", part}});
    }
  }
  return list.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

LabelDesk& Studio::desk(const std::string& id) {
  if (const auto known = desks_.find(id); known != desks_.end()) return known->second;
  const auto listed = ordered_json::parse(desks_json());
  const auto found = std::find_if(listed.begin(), listed.end(), [&](const auto& one) { return one["id"] == id; });
  if (found == listed.end()) throw RequestError{404, fmt::format("there is no list {}", quote_sample(id))};
  const size_t place = static_cast<size_t>(*parse_int(split(id, '-')[1]));
  if ((*found)["kind"] == "losses") {
    ServedRun run;
    {
      const std::lock_guard lock(mutex_);
      run = runs_[place];
    }
    return desks_.emplace(id, LabelDesk::of_losses(run, (*found)["part"].get<std::string>())).first->second;
  }
  std::vector<ServedRun> folds;
  fs::path audit;
  {
    const std::lock_guard lock(mutex_);
    audit = documents_[place]->audit;
    std::copy_if(runs_.begin(), runs_.end(), std::back_inserter(folds), [&](const ServedRun& run) {
      return run.document == place;
    });
  }
  return desks_.emplace(id, LabelDesk::of_audit(audit, folds)).first->second;
}

std::string Studio::desk_json(const std::string& id) {
  const std::lock_guard lock(desks_mutex_);
  return desk(id).json();
}

std::string Studio::decide(const std::string& id, std::string_view text) {
  const RequestBody body(text, {"row", "decision"});
  const std::lock_guard lock(desks_mutex_);
  return desk(id).decide(body.whole("row"), body.text("decision", ""));
}

}  // namespace mien::serve
