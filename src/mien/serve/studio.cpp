#include "mien/serve/studio.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/data/readers/image_io.h"
#include "mien/explain/methods.h"
#include "mien/recipes/run_recipe.h"
#include "mien/report/base64.h"
#include "mien/runs/face_sheets.h"
#include "mien/runs/run_folder.h"

namespace mien::serve {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

/// Pictures that stay in their folders; the document holds addresses.
class LinkedPictures final : public runs::PictureShelf {
 public:
  explicit LinkedPictures(size_t document) : document_(document) {}
  std::string add(const fs::path& file) override {
    const auto [at, is_new] = names_.try_emplace(file, fmt::format("p{}", names_.size()));
    if (is_new) files_[at->second] = file;
    return at->second;
  }
  std::string json() const override {
    ordered_json json = ordered_json::object();
    for (const auto& [name, file] : files_)
      json[name] = fmt::format("/api/v1/documents/{}/pictures/{}", document_, name);
    return json.dump();
  }
  const std::map<std::string, fs::path>& files() const { return files_; }

 private:
  size_t document_;
  std::map<fs::path, std::string> names_;
  std::map<std::string, fs::path> files_;
};

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

/// Red, green, blue -> [C,H,W] of the input's size; gray as read_gray_image weighs colors.
std::vector<uint8_t> as_input(data::RgbImage image, const ModelInput& input) {
  image = data::resize_rgb(image, input.height, input.width);
  const size_t plane = static_cast<size_t>(input.height * input.width);
  std::vector<uint8_t> out(plane * static_cast<size_t>(input.channels));
  for (size_t i = 0; i < plane; ++i) {
    const uint8_t* rgb = image.pixels.data() + 3 * i;
    if (input.channels == 1) {
      out[i] = static_cast<uint8_t>((299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000);
    } else {
      for (size_t c = 0; c < 3; ++c) out[c * plane + i] = rgb[c];
    }
  }
  return out;
}

/// A part of an image.
data::RgbImage cut(const data::RgbImage& image, int64_t x, int64_t y, int64_t width, int64_t height) {
  data::RgbImage out{height, width, std::vector<uint8_t>(static_cast<size_t>(3 * width * height))};
  for (int64_t row = 0; row < height; ++row) {
    const auto* from = image.pixels.data() + 3 * ((y + row) * image.width + x);
    std::copy(from, from + 3 * width, out.pixels.data() + 3 * row * width);
  }
  return out;
}

std::string option_text(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) {
    std::vector<std::string> parts;
    for (const auto& one : value) parts.push_back(option_text(one));
    return join(parts, ",");
  }
  if (value.is_object() || value.is_null()) throw RequestError{400, "an option is a text, a number, true or false"};
  return value.dump();
}

}  // namespace

Studio::Studio(const std::vector<std::string>& folders, size_t queue_limit) {
  std::vector<fs::path> weights;
  for (const std::string& folder : folders) {
    const size_t index = documents_.size();
    const recipes::FolderContent content = recipes::read_folder(folder);
    LinkedPictures pictures(index);
    Document document{.json = recipes::folder_document(content, pictures), .pictures = pictures.files()};
    const auto json = nlohmann::json::parse(document.json);
    document.title = json.at("title").get<std::string>();
    document.kind = json.at("kind").get<std::string>();
    documents_.push_back(std::move(document));
    for (size_t r = 0; r < content.runs.size(); ++r) {
      const runs::RunSummary& run = content.runs[r];
      names_.push_back({run.name, index, r, run.folder});
      weights.push_back(runs::weights_file(run.folder));
    }
  }
  models_ = std::make_unique<ModelThread>(weights, queue_limit);
}

std::string Studio::documents_json() const {
  ordered_json list = ordered_json::array();
  for (size_t i = 0; i < documents_.size(); ++i)
    list.push_back({{"index", i}, {"title", documents_[i].title}, {"kind", documents_[i].kind}});
  return list.dump();
}

std::string Studio::models_json() const {
  ordered_json list = ordered_json::array();
  for (size_t m = 0; m < names_.size(); ++m) {
    const ModelInput& input = models_->input(m);
    list.push_back({{"index", m},
                    {"name", names_[m].name},
                    {"document", names_[m].document},
                    {"run", names_[m].run},
                    {"classes", input.class_names},
                    {"channels", input.channels},
                    {"height", input.height},
                    {"width", input.width},
                    {"layers", models_->layers(m)},
                    {"methods", models_->methods(m)}});
  }
  return list.dump();
}

std::string Studio::methods_json() {
  ordered_json list = ordered_json::array();
  for (const explain::MethodSpec& spec : explain::methods()) {
    list.push_back({{"name", spec.name},
                    {"family", to_text(spec.family)},
                    {"summary", spec.summary},
                    {"cost", spec.cost},
                    {"source", spec.source},
                    {"signed", spec.is_signed},
                    {"reads_layer", spec.reads_layer}});
  }
  return list.dump();
}

const std::string& Studio::document(size_t index) const {
  if (index >= documents_.size()) throw RequestError{404, fmt::format("there is no document {}", index)};
  return documents_[index].json;
}

std::pair<std::string, std::string> Studio::picture(size_t document, const std::string& name) const {
  if (document >= documents_.size()) throw RequestError{404, fmt::format("there is no document {}", document)};
  const auto& pictures = documents_[document].pictures;
  const auto found = pictures.find(name);
  if (found == pictures.end()) throw RequestError{404, fmt::format("there is no picture {}", quote_sample(name))};
  const std::string ending = lower(found->second.extension().string());
  const std::string type = ending == ".webp"                       ? "image/webp"
                           : ending == ".svg"                      ? "image/svg+xml"
                           : ending == ".jpg" || ending == ".jpeg" ? "image/jpeg"
                                                                   : "image/png";
  return {read_text(found->second, uint64_t{1} << 28), type};
}

std::vector<uint8_t> Studio::face(size_t model, const std::string& part, int64_t index) const {
  static const std::vector<std::string> kParts{"val", "public_test", "vote", "eval", "examples"};
  if (std::find(kParts.begin(), kParts.end(), part) == kParts.end())
    throw RequestError{400, fmt::format("part is {}, expected one of {}", quote_sample(part), join(kParts, ", "))};
  const auto sheets = runs::read_face_sheets(names_[model].folder, part);
  if (!sheets) throw RequestError{404, fmt::format("the run keeps no faces of part {}", part)};
  if (index < 0 || index >= sheets->count)
    throw RequestError{404, fmt::format("index is {}, expected 0 to {}", index, sheets->count - 1)};
  const auto& file = sheets->sheets[static_cast<size_t>(index / sheets->per_sheet)];
  // The last sheet stays decoded: questions about a face come in series.
  static std::mutex mutex;
  static fs::path last_file;
  static data::RgbImage last;
  const std::lock_guard lock(mutex);
  if (last_file != file) {
    last = data::read_rgb_image(file);
    last_file = file;
  }
  const int64_t inside = index % sheets->per_sheet;
  const int64_t x = inside % sheets->columns * sheets->width;
  const int64_t y = inside / sheets->columns * sheets->height;
  if (x + sheets->width > last.width || y + sheets->height > last.height)
    throw RequestError{404, "the sheet of faces is smaller than its description"};
  return as_input(cut(last, x, y, sheets->width, sheets->height), models_->input(model));
}

Question Studio::question(std::string_view body, bool explains) const {
  const auto json = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) throw RequestError{400, "the body is no JSON object"};
  static const std::vector<std::string> kKeys{
      "model", "part", "index", "pixels", "method", "target", "measure", "options"};
  for (const auto& [key, value] : json.items()) {
    if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end())
      throw RequestError{400, fmt::format("unknown key {}: {}", quote_sample(key), suggestion(key, kKeys))};
  }
  const auto whole = [&json](const char* key) -> int64_t {
    if (!json.contains(key) || !json[key].is_number_integer())
      throw RequestError{400, fmt::format("{} is missing or no whole number", key)};
    return json[key].get<int64_t>();
  };
  const auto text = [&json](const char* key, const char* otherwise) -> std::string {
    if (!json.contains(key)) return otherwise;
    if (!json[key].is_string()) throw RequestError{400, fmt::format("{} is no text", key)};
    return json[key].get<std::string>();
  };
  Question question;
  const int64_t model = whole("model");
  if (model < 0 || model >= static_cast<int64_t>(names_.size()))
    throw RequestError{404, fmt::format("there is no model {}", model)};
  question.model = static_cast<size_t>(model);
  const ModelInput& input = models_->input(question.model);
  if (json.contains("pixels")) {
    const auto bytes = from_base64(text("pixels", ""));
    const auto expected = static_cast<size_t>(input.channels * input.height * input.width);
    if (!bytes || bytes->size() != expected)
      throw RequestError{400, fmt::format("pixels are not {} bytes in base64", expected)};
    question.pixels = *bytes;
  } else {
    question.pixels = face(question.model, text("part", "val"), whole("index"));
  }
  question.method = text("method", explains ? "grad-cam" : "");
  if (!explains && !question.method.empty()) throw RequestError{400, "a prediction has no method"};
  if (explains) {
    const auto& known = models_->methods(question.model);
    if (std::find(known.begin(), known.end(), question.method) == known.end())
      throw RequestError{
          400, fmt::format("unknown method {}: {}", quote_sample(question.method), suggestion(question.method, known))};
  }
  question.target = text("target", "predicted");
  if (json.contains("measure")) {
    if (!json["measure"].is_boolean()) throw RequestError{400, "measure is neither true nor false"};
    question.measure = json["measure"].get<bool>();
  }
  if (json.contains("options")) {
    if (!json["options"].is_object()) throw RequestError{400, "options is no object"};
    for (const auto& [key, value] : json["options"].items()) question.options[key] = option_text(value);
  }
  return question;
}

std::string Studio::photo(size_t model, std::string_view bytes) const {
  if (model >= names_.size()) throw RequestError{404, fmt::format("there is no model {}", model)};
  const ModelInput& input = models_->input(model);
  try {
    const data::RgbImage image = data::decode_rgb(bytes);
    const int64_t side = std::min(image.width, image.height);
    const int64_t x = (image.width - side) / 2;
    const int64_t y = (image.height - side) / 2;
    const auto pixels = as_input(cut(image, x, y, side, side), input);
    const std::string_view view(reinterpret_cast<const char*>(pixels.data()), pixels.size());
    return ordered_json{{"width", image.width},
                        {"height", image.height},
                        {"crop", {{"x", x}, {"y", y}, {"side", side}}},
                        {"pixels", report::base64(view)}}
        .dump();
  } catch (const Error& error) {
    throw RequestError{400, error.line()};
  }
}

}  // namespace mien::serve
