#include "mien/serve/openapi.h"

#include <nlohmann/json.hpp>

#include "mien/explain/methods.h"
#include "mien/runtime/environment.h"
#include "mien/serve/openapi_parts.h"

namespace mien::serve {
namespace {

using nlohmann::ordered_json;

ordered_json type_of(const OptionSet::Entry& entry) {
  struct Visitor {
    ordered_json operator()(bool* value) const { return {{"type", "boolean"}, {"default", *value}}; }
    ordered_json operator()(int64_t* value) const { return {{"type", "integer"}, {"default", *value}}; }
    ordered_json operator()(double* value) const { return {{"type", "number"}, {"default", *value}}; }
    ordered_json operator()(std::string* value) const { return {{"type", "string"}, {"default", *value}}; }
    ordered_json operator()(std::vector<std::string>* value) const {
      return {{"type", "array"}, {"items", {{"type", "string"}}}, {"default", *value}};
    }
  };
  return std::visit(Visitor{}, entry.field);
}

ordered_json reference(const std::string& name) { return {{"$ref", "#/components/schemas/" + name}}; }

ordered_json options_schema() {
  explain::MethodOptions options;
  OptionSet set;
  options.bind(set);
  ordered_json properties = ordered_json::object();
  for (const OptionSet::Entry& entry : set.entries()) {
    ordered_json schema = type_of(entry);
    schema["description"] = entry.spec.help;
    if (entry.spec.minimum) schema["minimum"] = *entry.spec.minimum;
    if (entry.spec.maximum) schema["maximum"] = *entry.spec.maximum;
    if (!entry.spec.choices.empty()) schema["enum"] = entry.spec.choices;
    properties[entry.spec.name] = std::move(schema);
  }
  return {{"type", "object"}, {"additionalProperties", false}, {"properties", std::move(properties)}};
}

ordered_json answers(const ordered_json& schema, const std::string& what) {
  const ordered_json error{{"description", "what was wrong"},
                           {"content", {{"application/json", {{"schema", reference("Error")}}}}}};
  return {{"200", {{"description", what}, {"content", {{"application/json", {{"schema", schema}}}}}}},
          {"400", error},
          {"404", error},
          {"413", error},
          {"503", error}};
}

ordered_json get(const std::string& summary,
                 const ordered_json& schema,
                 const std::vector<std::string>& parameters = {}) {
  ordered_json operation{{"summary", summary}};
  for (const std::string& name : parameters)
    operation["parameters"].push_back(
        {{"name", name}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}});
  operation["responses"] = answers(schema, summary);
  return {{"get", operation}};
}

ordered_json post(const std::string& summary, const ordered_json& body, const ordered_json& schema) {
  return {{"post",
           {{"summary", summary},
            {"requestBody", {{"required", true}, {"content", {{"application/json", {{"schema", body}}}}}}},
            {"responses", answers(schema, summary)}}}};
}

/// A request about a face: `more` besides the face.
ordered_json face_schema(const ordered_json& more, const std::vector<std::string>& required) {
  const ordered_json number{{"type", "integer"}, {"minimum", 0}};
  ordered_json properties{
      {"model", number},
      {"part", {{"type", "string"}, {"default", "val"}, {"description", "with index: a face of the run"}}},
      {"index", number},
      {"pixels", {{"type", "string"}, {"contentEncoding", "base64"}, {"description", "bytes [C,H,W] instead"}}}};
  properties.update(more);
  ordered_json all = ordered_json::array({"model"});
  for (const std::string& name : required) all.push_back(name);
  return {{"type", "object"}, {"additionalProperties", false}, {"required", all}, {"properties", properties}};
}

ordered_json request_schemas() {
  const ordered_json number{{"type", "integer"}, {"minimum", 0}};
  const ordered_json layer{{"type", "string"}, {"description", "its name, as /api/v1/models/{model}/layers lists it"}};
  const auto object = [](const ordered_json& properties, const ordered_json& required) {
    return ordered_json{
        {"type", "object"}, {"additionalProperties", false}, {"required", required}, {"properties", properties}};
  };
  return {
      {"MethodOptions", options_schema()},
      {"Question",
       face_schema({{"method", {{"type", "string"}, {"description", "of /api/v1/methods; not for predictions"}}},
                    {"target", {{"type", "string"}, {"default", "predicted"}}},
                    {"measure", {{"type", "boolean"}, {"default", false}}},
                    {"options", reference("MethodOptions")}},
                   {})},
      {"LayerQuestion", face_schema({{"layer", layer}}, {"layer"})},
      {"UnitQuestion",
       face_schema({{"layer", layer}, {"unit", number}, {"y", number}, {"x", number}}, {"layer", "unit"})},
      {"AscentQuestion",
       object({{"model", number},
               {"layer", layer},
               {"unit", number},
               {"steps", {{"type", "integer"}, {"minimum", 1}, {"maximum", 2000}, {"default", 128}}}},
              {"model", "layer", "unit"})},
      {"SurveyQuestion",
       object({{"model", number}, {"layer", layer}, {"part", {{"type", "string"}, {"default", "val"}}}},
              {"model", "layer"})},
      {"Decision",
       object({{"row", number},
               {"decision", {{"type", "string"}, {"description", "keep, drop, a class, or empty to take it back"}}}},
              {"row", "decision"})},
      {"Error", {{"type", "object"}, {"properties", {{"error", {{"type", "string"}}}}}}}};
}

ordered_json query(ordered_json operation, const std::vector<std::string>& names) {
  for (const std::string& name : names)
    operation["get"]["parameters"].push_back(
        {{"name", name}, {"in", "query"}, {"required", true}, {"schema", {{"type", "string"}}}});
  return operation;
}

}  // namespace

std::string openapi_json() {
  const ordered_json any{{"type", "object"}};
  const auto list = [](const char* of) { return ordered_json{{"type", "array"}, {"items", reference(of)}}; };
  ordered_json json{{"openapi", "3.1.0"},
                    {"info", {{"title", "Mien"}, {"version", runtime::environment().mien_version}}}};
  json["paths"] = {
      {"/api/v1/documents", get("The folders that are served", list("Served"))},
      {"/api/v1/documents/{document}", get("All that a report shows of a folder", any, {"document"})},
      {"/api/v1/documents/{document}/pictures/{name}",
       get("A picture of a report", {{"type", "string"}}, {"document", "name"})},
      {"/api/v1/models", get("The networks that can be asked", list("Model"))},
      {"/api/v1/models/{model}/layers",
       get("The layers of a network, with what their positions see", list("NetworkLayer"), {"model"})},
      {"/api/v1/models/{model}/neighbors",
       query(get("The faces of a part that a network sees as alike", list("Neighbor"), {"model"}), {"part", "index"})},
      {"/api/v1/runs", get("Every run with rates and curve, also those in training", list("ServedRun"))},
      {"/api/v1/runs/compare",
       query(get("Two runs on the faces that both were judged on", reference("Difference")), {"first", "second"})},
      {"/api/v1/labels", get("Lists of labels that look wrong", list("DeskEntry"))},
      {"/api/v1/layer",
       post("Outputs of all units of a layer for a face", reference("LayerQuestion"), reference("LayerOutput"))},
      {"/api/v1/unit",
       post("A unit's weights, output, and the arithmetic of one value", reference("UnitQuestion"), reference("Unit"))},
      {"/api/v1/ascent",
       post("A job: the input that drives a unit most", reference("AscentQuestion"), reference("JobId"))},
      {"/api/v1/survey",
       post("A job: the faces that drive a layer's units", reference("SurveyQuestion"), reference("JobId"))},
      {"/health", get("Whether it answers, and how many questions wait", reference("Health"))},
      {"/metrics", get("Counts and times, as Prometheus reads them", {{"type", "string"}})},
      {"/api/v1/methods", get("Every explanation method", list("Method"))},
      {"/api/v1/predict", post("What the network says of a face", reference("Question"), reference("Prediction"))},
      {"/api/v1/explain", post("Where it looks", reference("Question"), reference("Explanation"))},
      {"/api/v1/jobs", post("The same, answered later", reference("Question"), reference("JobId"))},
      {"/api/v1/jobs/{job}/events", get("Server-sent events: state, then the answer", {{"type", "string"}}, {"job"})},
      {"/api/v1/openapi.json", get("This document", any)}};
  json["paths"]["/api/v1/jobs/{job}"] = get("State and answer of a job", any, {"job"});
  json["paths"]["/api/v1/jobs/{job}"]["delete"] = {
      {"summary", "Cancel it"},
      {"parameters", {{{"name", "job"}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}}}},
      {"responses", answers(any, "Cancel it")}};
  json["paths"]["/api/v1/labels/{list}"] = get("Suspects of a list, and what was decided", reference("Desk"), {"list"});
  json["paths"]["/api/v1/labels/{list}"].update(post("Decide about a label; the file of corrections is written at once",
                                                     reference("Decision"),
                                                     reference("Decisions")));
  json["paths"]["/api/v1/photo"] = {
      {"post",
       {{"summary",
         "The faces of a picture file and the crop that the network sees; the query says `model` and, for another "
         "crop, `x`, `y`, `side`"},
        {"requestBody", {{"required", true}, {"content", {{"application/octet-stream", any}}}}},
        {"responses", answers(reference("Photo"), "the crop")}}}};
  json["components"]["schemas"] = request_schemas();
  json["components"]["schemas"].update(ordered_json::parse(answer_schemas()));
  return json.dump(2) + "\n";
}

}  // namespace mien::serve
