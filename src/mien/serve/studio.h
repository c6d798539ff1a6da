#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mien/serve/jobs.h"
#include "mien/serve/model_thread.h"

namespace mien::serve {

/// What is wrong with a request: an HTTP status and one line.
struct RequestError {
  int status;
  std::string message;
};

/// The folders that are served, what they show, and the networks in them. All but construction may be called from any
/// thread. Nothing outside the folders is read.
class Studio {
 public:
  /// `folders`: finished runs, ensembles or recipes. Throws Error(bad_data) for one that is none.
  Studio(const std::vector<std::string>& folders, size_t queue_limit);

  std::string documents_json() const;
  std::string models_json() const;
  static std::string methods_json();
  /// Throws RequestError(404).
  const std::string& document(size_t index) const;
  /// Bytes and content type of a picture that a document names. Throws RequestError(404).
  std::pair<std::string, std::string> picture(size_t document, const std::string& name) const;
  /// A question from a request's body; without `explains` only a prediction may be asked. Throws RequestError.
  Question question(std::string_view body, bool explains) const;
  /// JSON with the crop that the network sees of a picture file: the middle square. Throws RequestError.
  std::string photo(size_t model, std::string_view bytes) const;
  ModelThread& models() { return *models_; }

 private:
  struct Document {
    std::string title;
    std::string kind;
    std::string json;
    std::map<std::string, std::filesystem::path> pictures;
  };
  struct NamedModel {
    std::string name;
    size_t document;
    size_t run;
    std::filesystem::path folder;
  };
  /// The face of a part, as [C,H,W] of the model's input.
  std::vector<uint8_t> face(size_t model, const std::string& part, int64_t index) const;

  std::vector<Document> documents_;
  std::vector<NamedModel> names_;
  std::unique_ptr<ModelThread> models_;
};

}  // namespace mien::serve
