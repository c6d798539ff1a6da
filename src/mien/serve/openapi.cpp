#include "mien/serve/openapi.h"

#include <nlohmann/json.hpp>

#include "mien/explain/methods.h"
#include "mien/runtime/environment.h"

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

ordered_json reference(const std::string& name) { return {{"$ref", "#/components/schemas/" + name}}; }

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

ordered_json question_schema() {
  const ordered_json number{{"type", "integer"}, {"minimum", 0}};
  return {{"type", "object"},
          {"additionalProperties", false},
          {"required", {"model"}},
          {"properties",
           {{"model", number},
            {"part", {{"type", "string"}, {"description", "with index: a face of the run"}}},
            {"index", number},
            {"pixels", {{"type", "string"}, {"contentEncoding", "base64"}, {"description", "bytes [C,H,W] instead"}}},
            {"method", {{"type", "string"}, {"description", "of /api/v1/methods; not for predictions"}}},
            {"target", {{"type", "string"}, {"default", "predicted"}}},
            {"measure", {{"type", "boolean"}, {"default", false}}},
            {"options", reference("MethodOptions")}}}};
}

}  // namespace

std::string openapi_json() {
  const ordered_json any{{"type", "object"}};
  const ordered_json list{{"type", "array"}, {"items", any}};
  ordered_json json{{"openapi", "3.1.0"},
                    {"info", {{"title", "Mien"}, {"version", runtime::environment().mien_version}}}};
  json["paths"] = {
      {"/api/v1/documents", get("The folders that are served", list)},
      {"/api/v1/documents/{document}", get("All that a report shows of a folder", any, {"document"})},
      {"/api/v1/documents/{document}/pictures/{name}",
       get("A picture of a report", {{"type", "string"}}, {"document", "name"})},
      {"/api/v1/models", get("The networks that can be asked", list)},
      {"/api/v1/methods", get("Every explanation method", list)},
      {"/api/v1/predict", post("What the network says of a face", reference("Question"), any)},
      {"/api/v1/explain", post("Where it looks", reference("Question"), any)},
      {"/api/v1/jobs", post("The same, answered later", reference("Question"), any)},
      {"/api/v1/jobs/{job}/events", get("Server-sent events: state, then the answer", {{"type", "string"}}, {"job"})},
      {"/api/v1/openapi.json", get("This document", any)}};
  json["paths"]["/api/v1/jobs/{job}"] = get("State and answer of a job", any, {"job"});
  json["paths"]["/api/v1/jobs/{job}"]["delete"] = {
      {"summary", "Cancel it"},
      {"parameters", {{{"name", "job"}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}}}},
      {"responses", answers(any, "Cancel it")}};
  json["paths"]["/api/v1/photo"] = {
      {"post",
       {{"summary", "A picture file cropped to the network's input; its model is the query's `model`"},
        {"requestBody", {{"required", true}, {"content", {{"application/octet-stream", any}}}}},
        {"responses", answers(any, "the crop")}}}};
  json["components"]["schemas"] = {{"MethodOptions", options_schema()},
                                   {"Question", question_schema()},
                                   {"Error", {{"type", "object"}, {"properties", {{"error", {{"type", "string"}}}}}}}};
  return json.dump(2) + "\n";
}

}  // namespace mien::serve
