#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/core/progress.h"
#include "mien/data/dataset.h"
#include "mien/evaluation/predictions.h"
#include "mien/network/network.h"

namespace mien::figures {

/// Rows of a data set by the part they play.
struct SplitRows {
  std::vector<int64_t> all, training, validation, test;  ///< indices, ascending
  bool is_of_run = false;  ///< training, validation and test are those of the network's own training
  /// By the rows' usage; no validation rows.
  static SplitRows by_usage(const data::Dataset& dataset);
  /// "all", "training", "validation" or "test". Throws Error(bad_data) if the part has no rows.
  const std::vector<int64_t>& of(const std::string& part) const;
};

/// One face that is looked at.
struct Face {
  int64_t index = 0;       ///< in the data set
  int64_t source_row = 0;  ///< the row of the user's data, which is what people are told (Dataset::row_of)
  int32_t label = -1;      ///< data::kUnlabeled where unknown
  int32_t predicted = 0;
  std::vector<double> probabilities;  ///< [classes]
  bool is_stand_in = false;           ///< shown for its label though the network says another class
  bool is_right() const { return label == predicted; }
};

/// Which faces are looked at.
struct FaceSelection {
  enum class Kind { everything, rows, positions, random, correct, wrong, confident };
  Kind kind = Kind::correct;
  std::string part = "all";
  std::vector<int64_t> numbers;  ///< rows of the user's data, or positions in the part
  int64_t count = 1;             ///< random faces, or faces of each class
  /// Reads "row:123", "rows:5,7-9" (rows of the user's data, from 0), "0-5" (positions in a part), "random:5",
  /// "correct-per-class", "wrong-per-class" or "most-confident-per-class", the last three with ":COUNT" for more than
  /// one of each class; before it "PART:", one of all, training, validation, test; "PART" alone for all its rows.
  /// Throws Error(usage).
  static FaceSelection parse(const std::string& text);
  /// Whether it depends on what the network says of the faces.
  bool is_per_class() const { return kind == Kind::correct || kind == Kind::wrong || kind == Kind::confident; }
};

/// A trained network and the faces that it is looked at with.
class ExplainContext {
 public:
  /// `dataset` must outlive the context. Throws Error(usage) if the network does not take its faces.
  ExplainContext(const network::LoadedWeights& loaded,
                 const data::Dataset& dataset,
                 SplitRows parts,
                 ProgressListener& listener);

  const network::Network& network() const { return network_; }  ///< its parameters require no gradient
  const network::Graph& graph() const { return network_.graph(); }
  const network::Normalization& normalization() const { return normalization_; }
  const std::string& weights_hash() const { return weights_hash_; }
  const data::Dataset& dataset() const { return dataset_; }
  const SplitRows& parts() const { return parts_; }
  const std::string& class_name(int64_t index) const { return dataset_.class_names[static_cast<size_t>(index)]; }
  /// "row 12", or the face's file below the data; the short one without folders, for captions.
  std::string face_name(const Face& face) const { return dataset_.face_name(face.index); }
  std::string short_face_name(const Face& face) const;
  ProgressListener& listener() const { return listener_; }

  /// The network's input for the faces with these indices, [N,C,H,W] float32, channels last.
  at::Tensor images(const std::vector<int64_t>& rows) const;
  /// The input that a black pixel of each of these (indices) becomes, [N] float32: 0 for x/255, below 0 where a mean is
  /// subtracted, per image by the image's own mean and deviation.
  at::Tensor black(const std::vector<int64_t>& rows) const;
  /// What the network says of the faces with these indices.
  std::vector<Face> faces(const std::vector<int64_t>& rows);
  /// The indices of the faces that `choice` names. As `choose`, but runs the network only where the choice depends on
  /// it.
  std::vector<int64_t> choose_rows(const FaceSelection& choice, uint64_t seed);
  /// The faces that `choice` names, in its order; per class in the order of the classes. "Correct" and "wrong" are
  /// random ones by `seed`. A class without such a face is represented by its face with the highest probability for it
  /// (correct, confident), a stand-in that is explained for its label, or left out (wrong); a class without any face is
  /// left out; one warning each. Throws Error(usage) for a row or position that does not exist or is not of the part.
  std::vector<Face> choose(const FaceSelection& choice, uint64_t seed);
  /// The part whose rates stand below a picture of faces of `part`: of "all" what the network's own training held out.
  std::string recall_part(const std::string& part) const;
  /// Predictions of a part's labeled rows; computed once. Throws Error(bad_data) if they are not finite.
  const evaluation::Predictions& predictions(const std::string& part);

 private:
  /// Index of a row of the user's data. Throws Error(usage) if there is no such row, or it was left out.
  int64_t index_of(int64_t row) const;
  void warn_once(const std::string& text);
  /// Throws Error(usage) if the face is not of `part`: says of which it is.
  void check_part(int64_t index, const std::string& part) const;
  /// Rows of a choice that does not depend on the network.
  std::vector<int64_t> named_rows(const FaceSelection& choice, uint64_t seed) const;
  std::vector<Face> choose_per_class(const FaceSelection& choice, uint64_t seed);

  network::Network network_;
  network::Normalization normalization_;
  std::string weights_hash_;
  const data::Dataset& dataset_;
  SplitRows parts_;
  ProgressListener& listener_;
  std::map<std::string, evaluation::Predictions> predictions_;
  std::set<std::string> warned_;
};

}  // namespace mien::figures
