#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mien/serve/jobs.h"
#include "mien/serve/label_desk.h"
#include "mien/serve/model_thread.h"
#include "mien/serve/request_error.h"
#include "mien/serve/run_list.h"

namespace mien::serve {

class RequestBody;

/// The folders that are served, what they show, and the networks in them. Runs that have not finished are watched, and
/// get their document and network when they have. All but construction may be called from any thread. Nothing outside
/// the folders is read.
class Studio {
 public:
  /// `folders`: runs, ensembles, recipes, audits, and folders with such inside. Throws Error(bad_data) for one that is
  /// none.
  Studio(const std::vector<std::string>& folders, size_t queue_limit);

  std::string documents_json() const;
  std::string models_json() const;
  static std::string methods_json();
  /// Every run with its rates and curve; looks whether those in training have gone on.
  std::string runs_json();
  /// Two runs by their places in runs_json, see difference_json. Throws RequestError.
  std::string difference(size_t first, size_t second);
  /// Throws RequestError(404).
  std::string document(size_t index) const;
  /// Bytes and content type of a picture that a document names. Throws RequestError(404).
  std::pair<std::string, std::string> picture(size_t document, const std::string& name) const;
  /// A question from a request's body; without `explains` only a prediction may be asked. Throws RequestError.
  Question question(std::string_view body, bool explains) const;
  /// Questions about the layers of a network: every unit's output for a face; one unit with the arithmetic of a value;
  /// the input that drives a unit most; the faces that do. From a request's body; throw RequestError.
  Question layer_question(std::string_view body) const;
  Question unit_question(std::string_view body) const;
  Question ascent_question(std::string_view body) const;
  Question survey_question(std::string_view body) const;
  /// Which faces of a part a network sees as alike. Throws RequestError.
  Question neighbors_question(size_t model, const std::string& part, int64_t index) const;
  /// JSON of the layers of a model. Throws RequestError(404).
  std::string layers(size_t model) const;

  /// Lists of doubtful labels: the audits', else of each run the wrongly predicted faces of its parts.
  std::string desks_json() const;
  /// Throws RequestError.
  std::string desk_json(const std::string& id);
  std::string decide(const std::string& id, std::string_view body);

  /// The faces of a picture file, and the crop of it that the network sees, as JSON: the given square, else the largest
  /// face cropped as the network's training faces were, else the middle. Throws RequestError.
  struct Square {
    double x, y, side;
  };
  std::string photo(size_t model, std::string_view bytes, const std::optional<Square>& square) const;
  ModelThread& models() { return *models_; }

 private:
  struct Document {
    std::string title;
    std::string kind;
    std::string json;
    std::map<std::string, std::filesystem::path> pictures;
    std::filesystem::path audit;  ///< the folder, where it is an audit's
  };
  /// A finished folder: its document, networks and runs. The caller holds `growing_`, or no other thread is there.
  void add_finished(const std::filesystem::path& folder);
  /// The runs of a folder that is not finished itself; those that are known already are passed over.
  bool add_runs_below(const std::filesystem::path& folder);
  void look_again();
  std::shared_ptr<const Document> document_at(size_t index) const;
  std::filesystem::path model_folder(size_t model) const;
  size_t model_count() const;
  size_t known_model(int64_t model) const;
  /// A question about the face that a body names.
  Question about_face(const RequestBody& body) const;
  LabelDesk& desk(const std::string& id);

  std::mutex growing_;                        ///< one thread at a time looks for what is new
  std::vector<std::filesystem::path> roots_;  ///< folders that are not finished, or hold runs
  std::chrono::steady_clock::time_point looked_{};
  mutable std::mutex mutex_;  ///< of what follows
  std::vector<std::shared_ptr<const Document>> documents_;
  std::vector<ServedRun> runs_;
  std::vector<size_t> model_runs_;  ///< the run of each network
  std::map<std::pair<size_t, size_t>, std::string> differences_;
  std::mutex desks_mutex_;
  std::map<std::string, LabelDesk> desks_;
  std::unique_ptr<ModelThread> models_;
};

}  // namespace mien::serve
