#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace mien::evaluation {

/// What a network said about N faces, beside what their labels say.
struct Predictions {
  std::vector<std::string> class_names;  ///< K names
  std::vector<int64_t> rows;             ///< [N] row of the user's data that was judged (Dataset::row_of)
  std::vector<int32_t> labels;           ///< [N] 0..K-1, or -1 where unknown
  std::vector<double> logits;            ///< [N, K]
  std::vector<double> probabilities;     ///< [N, K], each row sums to 1
  std::vector<std::string> files{};      ///< [N] Dataset::files of the faces; or empty

  int64_t size() const { return static_cast<int64_t>(rows.size()); }
  int64_t classes() const { return static_cast<int64_t>(class_names.size()); }
  std::span<const double> probability_row(int64_t i) const {
    return {probabilities.data() + i * classes(), static_cast<size_t>(classes())};
  }
  std::span<const double> logit_row(int64_t i) const {
    return {logits.data() + i * classes(), static_cast<size_t>(classes())};
  }
  /// Class of the largest probability; the lowest index wins a tie.
  int32_t predicted(int64_t i) const;
  /// "row 12", or the face's file.
  std::string face_name(int64_t i) const;
  bool is_labeled(int64_t i) const { return labels[static_cast<size_t>(i)] >= 0; }
  /// Log loss of row i in nats: -ln of the probability of its label. The row's probabilities are first clipped to
  /// [2^-52, 1 - 2^-52] and divided by their sum, as scikit-learn's log_loss does. Row i must be labeled.
  double loss(int64_t i) const;
};

/// The predictions at `positions`, in that order.
Predictions select(const Predictions& all, std::span<const int64_t> positions);

/// The faces that two networks were both judged on, in the order of the first.
struct SharedFaces {
  Predictions first, second;  ///< of the same rows, with the same labels
  int64_t first_count = 0;    ///< faces that each was judged on, shared or not
  int64_t second_count = 0;
  int64_t relabeled = 0;  ///< shared faces that the two label differently
};

/// Matches faces by their row of the user's data; labels are those of the first, or with `second_labels` those of the
/// second. Throws Error(bad_data) if the classes differ, a row names two files, or no face is shared. The names stand
/// for the two in the message.
SharedFaces shared_faces(const Predictions& first,
                         const Predictions& second,
                         bool second_labels,
                         const std::string& first_name,
                         const std::string& second_name);

/// Softmax of each row of `scores` ([N, K], K = `classes`) into `probabilities` of the same size; the two may be one.
/// The row's largest score is subtracted first, so that no finite score overflows.
void softmax_rows(std::span<const double> scores, int64_t classes, std::span<double> probabilities);

/// Throws Error(bad_data) beginning with `what` unless the arrays' sizes agree, labels are -1..K-1, logits and
/// probabilities are finite and every row of probabilities is in [0, 1] and sums to 1 within 1e-6.
void check_predictions(const Predictions& predictions, const std::string& what);

/// Throws Error(bad_data) unless both have the same classes, rows and labels in the same order; the message names the
/// first row that differs. The names stand for the two in the message.
void require_same_rows(const Predictions& first,
                       const Predictions& second,
                       const std::string& first_name,
                       const std::string& second_name);

}  // namespace mien::evaluation
