#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "mien/serve/openapi_parts.h"

namespace mien::serve {
namespace {

using nlohmann::ordered_json;

ordered_json reference(const std::string& name) { return {{"$ref", "#/components/schemas/" + name}}; }

const ordered_json kText{{"type", "string"}};
const ordered_json kWhole{{"type", "integer"}};
const ordered_json kNumber{{"type", "number"}};
const ordered_json kFlag{{"type", "boolean"}};
const ordered_json kValue{{"type", {"number", "null"}}};  // null where it is not finite

ordered_json list(const ordered_json& of) { return {{"type", "array"}, {"items", of}}; }
ordered_json fixed(const ordered_json& of, int count) {
  return {{"type", "array"}, {"items", of}, {"minItems", count}, {"maxItems", count}};
}
ordered_json words(const std::vector<std::string>& all) { return {{"type", "string"}, {"enum", all}}; }
ordered_json map_of(const ordered_json& of) { return {{"type", "object"}, {"additionalProperties", of}}; }

/// An object; a name that ends in '?' may be missing.
ordered_json object(const std::vector<std::pair<std::string, ordered_json>>& members) {
  ordered_json properties = ordered_json::object();
  ordered_json required = ordered_json::array();
  for (const auto& [name, schema] : members) {
    const bool is_optional = name.ends_with('?');
    const std::string plain = is_optional ? name.substr(0, name.size() - 1) : name;
    properties[plain] = schema;
    if (!is_optional) required.push_back(plain);
  }
  return {{"type", "object"},
          {"additionalProperties", false},
          {"required", std::move(required)},
          {"properties", std::move(properties)}};
}

void add_runs(ordered_json& schemas) {
  const ordered_json interval = fixed(kValue, 2);
  schemas["Epoch"] = object({{"epoch", kWhole},
                             {"train_loss", kValue},
                             {"train_accuracy", kValue},
                             {"validation_loss", kValue},
                             {"validation_accuracy", kValue},
                             {"learning_rate", kValue},
                             {"seconds", kValue}});
  schemas["Rates"] = object({{"id", kText},
                             {"judged_on", kText},
                             {"count", kWhole},
                             {"accuracy", kNumber},
                             {"accuracy_interval", interval},
                             {"macro_f1", kNumber},
                             {"macro_f1_interval", interval},
                             {"log_loss", kNumber},
                             {"calibration_error", kNumber}});
  schemas["ServedRun"] = object({{"index", kWhole},
                                 {"name", kText},
                                 {"folder", kText},
                                 {"state", words({"finished", "running", "interrupted", "failed", "unreadable"})},
                                 {"problem?", kText},
                                 {"document?", kWhole},
                                 {"position?", kWhole},
                                 {"model?", kWhole},
                                 {"network", kText},
                                 {"data", kText},
                                 {"seed?", kWhole},
                                 {"members?", kWhole},
                                 {"parameters?", kWhole},
                                 {"best_epoch?", kWhole},
                                 {"seconds?", kNumber},
                                 {"rates", list(reference("Rates"))},
                                 {"history", list(reference("Epoch"))}});
  schemas["PairedDifference"] = object(
      {{"first", kNumber}, {"second", kNumber}, {"difference", kNumber}, {"interval", interval}, {"p_value", kNumber}});
  schemas["Difference"] = object(
      {{"first_name", kText},
       {"second_name", kText},
       {"count", kWhole},
       {"both_correct", kWhole},
       {"only_first_correct", kWhole},
       {"only_second_correct", kWhole},
       {"both_wrong", kWhole},
       {"agreement", kNumber},
       {"agreement_interval", interval},
       {"first_accuracy_interval", interval},
       {"second_accuracy_interval", interval},
       {"mcnemar_exact", kFlag},
       {"mcnemar_statistic", kValue},
       {"mcnemar_p_value", kNumber},
       {"accuracy", reference("PairedDifference")},
       {"macro_f1", reference("PairedDifference")},
       {"resamples", kWhole},
       {"first_part", kText},
       {"second_part", kText},
       {"classes", list(kText)},
       {"differing",
        object(
            {{"rows", list(kWhole)}, {"labels", list(kWhole)}, {"first", list(kWhole)}, {"second", list(kWhole)}})}});
}

void add_faces(ordered_json& schemas) {
  const ordered_json rates = list(kValue);
  schemas["Served"] = object({{"index", kWhole}, {"title", kText}, {"kind", kText}});
  schemas["Model"] = object({{"index", kWhole},
                             {"name", kText},
                             {"document", kWhole},
                             {"run", kWhole},
                             {"classes", list(kText)},
                             {"channels", kWhole},
                             {"height", kWhole},
                             {"width", kWhole},
                             {"layers", list(kText)},
                             {"methods", list(kText)}});
  schemas["Method"] = object({{"name", kText},
                              {"family", kText},
                              {"summary", kText},
                              {"cost", kText},
                              {"source", kText},
                              {"signed", kFlag},
                              {"reads_layer", kFlag}});
  schemas["Prediction"] = object({{"classes", list(kText)}, {"predicted", kText}, {"probabilities", rates}});
  schemas["Explanation"] = object({{"method", kText},
                                   {"source", kText},
                                   {"signed", kFlag},
                                   {"classes", list(kText)},
                                   {"target", kText},
                                   {"probabilities", rates},
                                   {"height", kWhole},
                                   {"width", kWhole},
                                   {"layer?", kText},
                                   {"largest", kValue},
                                   {"steps", kWhole},
                                   {"map", list(kWhole)},
                                   {"diagnostics?", map_of(kValue)},
                                   {"faithfulness?", map_of(kValue)},
                                   {"seconds", kNumber}});
  schemas["Square"] = object({{"x", kNumber}, {"y", kNumber}, {"side", kNumber}});
  schemas["Photo"] = object({{"width", kWhole},
                             {"height", kWhole},
                             {"faces", list(reference("Square"))},
                             {"crop", reference("Square")},
                             {"pixels", kText}});
  schemas["JobId"] = object({{"job", kText}});
  schemas["Health"] = object({{"status", kText}, {"version", kText}, {"models", kWhole}, {"waiting", kWhole}});
}

void add_labels(ordered_json& schemas) {
  schemas["DeskEntry"] =
      object({{"id", kText}, {"name", kText}, {"kind", words({"audit", "losses"})}, {"part", kText}});
  schemas["Suspect"] = object({{"row", kWhole},
                               {"file?", kText},
                               {"label", kWhole},
                               {"suggested", kWhole},
                               {"doubt", kNumber},
                               {"p_label", kNumber},
                               {"p_suggested", kNumber},
                               {"run", kWhole},
                               {"index", kWhole}});
  schemas["Decisions"] = object({{"decisions", map_of(kText)}, {"file", kText}});
  schemas["Desk"] = object({{"decisions", map_of(kText)},
                            {"file", kText},
                            {"kind", words({"audit", "losses"})},
                            {"document", kWhole},
                            {"part", kText},
                            {"data", kText},
                            {"classes", list(kText)},
                            {"suspects", list(reference("Suspect"))}});
  schemas["Neighbor"] = object({{"index", kWhole}, {"similarity", kNumber}});
}

void add_units(ordered_json& schemas) {
  const ordered_json pair = fixed(kWhole, 2);
  const ordered_json window = fixed(kWhole, 4);
  schemas["NetworkLayer"] = object({{"index", kWhole},
                                    {"name", kText},
                                    {"kind", kText},
                                    {"inputs", list(kWhole)},
                                    {"output", kText},
                                    {"units", kWhole},
                                    {"height", kWhole},
                                    {"width", kWhole},
                                    {"parameters", kWhole},
                                    {"multiply_adds", kWhole},
                                    {"field", pair},
                                    {"sees_all", kFlag},
                                    {"kernel?", pair},
                                    {"stride?", kWhole},
                                    {"probability?", kNumber}});
  schemas["LayerOutput"] = object({{"layer", kWhole},
                                   {"units", kWhole},
                                   {"height", kWhole},
                                   {"width", kWhole},
                                   {"smallest", kValue},
                                   {"largest", kValue},
                                   {"values", kText}});
  schemas["Term"] = object({{"channel", kWhole}, {"sum", kValue}, {"inputs", list(kValue)}, {"weights", list(kValue)}});
  schemas["UnitWeights"] = object({{"shape", fixed(kWhole, 3)}, {"values", list(kNumber)}, {"largest", kNumber}});
  schemas["UnitArithmetic"] =
      object({{"form", words({"convolution", "dense", "largest", "mean", "batch_norm", "function"})},
              {"terms?", list(reference("Term"))},
              {"others?", kValue},
              {"bias?", kValue},
              {"kernel?", pair},
              {"top?", kWhole},
              {"left?", kWhole},
              {"inputs?", list(kValue)},
              {"weight?", kValue},
              {"running_mean?", kValue},
              {"running_var?", kValue},
              {"epsilon?", kNumber},
              {"slope?", kNumber},
              {"alpha?", kNumber}});
  const auto or_null = [](const char* name) {
    return ordered_json{{"anyOf", {reference(name), ordered_json{{"type", "null"}}}}};
  };
  schemas["Unit"] = object({{"layer", kWhole},
                            {"unit", kWhole},
                            {"weights", or_null("UnitWeights")},
                            {"height", kWhole},
                            {"width", kWhole},
                            {"output", list(kNumber)},
                            {"y", kWhole},
                            {"x", kWhole},
                            {"value", kValue},
                            {"window", window},
                            {"arithmetic", or_null("UnitArithmetic")}});
  schemas["Ascent"] =
      object({{"pixels", kText}, {"steps", kWhole}, {"first", kValue}, {"last", kValue}, {"is_dead", kFlag}});
  schemas["UnitFace"] = object({{"index", kWhole}, {"activation", kValue}, {"window", window}});
  schemas["UnitSurvey"] = object({{"most", list(reference("UnitFace"))},
                                  {"least", list(reference("UnitFace"))},
                                  {"means", list(kValue)},
                                  {"mean", kValue},
                                  {"active", kValue}});
  schemas["Survey"] = object(
      {{"layer", kWhole}, {"faces", kWhole}, {"classes", list(kText)}, {"units", list(reference("UnitSurvey"))}});
}

}  // namespace

std::string answer_schemas() {
  ordered_json schemas = ordered_json::object();
  add_runs(schemas);
  add_faces(schemas);
  add_labels(schemas);
  add_units(schemas);
  return schemas.dump();
}

}  // namespace mien::serve
