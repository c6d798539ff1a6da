#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mien/core/progress.h"
#include "mien/serve/run_list.h"
#include "mien/serve/served_model.h"

namespace mien::serve {

/// A label that looks wrong, and where its face lies.
struct Suspect {
  int64_t row = 0;   ///< of the user's data
  std::string file;  ///< where the data are files
  int32_t label = 0;
  int32_t suggested = 0;  ///< the class that the network says
  double doubt = 0;       ///< the audit's, or the loss in nats
  double p_label = 0;
  double p_suggested = 0;
  size_t run = 0;     ///< position in the document
  int64_t index = 0;  ///< in the part
};

/// Labels to look at, the most doubtful first, and what was decided about them. Decisions are written at once into a
/// csv that `mien train --corrections` takes. Used by one thread at a time.
class LabelDesk {
 public:
  /// The suspects of an audit; their faces are the validation faces of its folds. Throws Error(bad_data) for a damaged
  /// suspects.csv.
  static LabelDesk of_audit(const std::filesystem::path& audit, const std::vector<ServedRun>& folds);
  /// The wrongly predicted faces of a run's part by their loss.
  static LabelDesk of_losses(const ServedRun& run, const std::string& part);

  /// Suspects, classes and decisions as JSON.
  std::string json() const;
  /// `decision`: "keep", "drop", a class, or "" to take it back. Returns what json() says of decisions. Throws
  /// RequestError for a row that is no suspect and for another word.
  std::string decide(int64_t row, const std::string& decision);

 private:
  void read_decisions();
  void write_decisions() const;
  std::string decisions_json() const;

  std::string kind_, part_, data_;
  size_t document_ = 0;
  std::vector<std::string> classes_;
  std::vector<Suspect> suspects_;
  /// What train is told of a row; a label that is kept is the same as before.
  struct Decision {
    std::string label, was;
  };
  std::map<int64_t, size_t> places_;  ///< by row
  std::map<int64_t, Decision> decisions_;
  std::filesystem::path file_;
};

/// The `count` faces of a part that are nearest to face `index` by the cosine of what the network's last dense layer
/// reads, as a JSON list of index and similarity; itself is left out. Keeps what it computed in `model`. Throws
/// RequestError, Error(interrupted).
std::string neighbors_json(ServedModel& model,
                           const std::filesystem::path& run,
                           const std::string& part,
                           int64_t index,
                           int64_t count,
                           ProgressListener& listener);

}  // namespace mien::serve
