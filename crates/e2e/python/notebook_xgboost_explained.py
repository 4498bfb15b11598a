"""Online explanations of an XGBoost model, as the SageMaker SDK does it: deploy with an explainer, predict, read what each feature added.

Nothing here is captura's own: this runs against AWS with a role and a bucket of one's own.
Usage: notebook_xgboost_explained.py MODEL CSV      an `xgboost-model` file, and rows of its features with a header
"""
import pathlib
import sys
import tarfile
import tempfile

import sagemaker
from sagemaker import image_uris
from sagemaker.deserializers import JSONDeserializer
from sagemaker.explainer import ClarifyExplainerConfig, ExplainerConfig
from sagemaker.explainer.clarify_explainer_config import ClarifyInferenceConfig, ClarifyShapBaselineConfig, ClarifyShapConfig
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.s3 import S3Uploader
from sagemaker.serializers import CSVSerializer

model_file, data_file = map(pathlib.Path, sys.argv[1:])
role = "arn:aws:iam::000000000000:role/service-role/AmazonSageMaker-ExecutionRole"
bucket = "sagemaker-us-east-1-000000000000"
session = sagemaker.Session(default_bucket=bucket)
header, *rows = data_file.read_text().splitlines()
features = header.split(",")
numbers = [[float(cell) for cell in row.split(",")] for row in rows]
baseline = [sum(column) / len(numbers) for column in zip(*numbers)]

folder = pathlib.Path(tempfile.mkdtemp())
with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
    archive.add(model_file, arcname="xgboost-model")
model_url = S3Uploader.upload(str(folder / "model.tar.gz"), f"s3://{bucket}/explained/model", sagemaker_session=session)

serializer = CSVSerializer()
explainer_config = ExplainerConfig(
    clarify_explainer_config=ClarifyExplainerConfig(
        shap_config=ClarifyShapConfig(
            shap_baseline_config=ClarifyShapBaselineConfig(mime_type="text/csv", shap_baseline=serializer.serialize(baseline)),
            number_of_samples=400,
            seed=123,
        ),
        inference_config=ClarifyInferenceConfig(feature_headers=features),
    )
)
image_uri = image_uris.retrieve(framework="xgboost", version="1.7-1", region="us-east-1")
model = Model(image_uri=image_uri, model_data=model_url, role=role, name="DEMO-xgb-explained", sagemaker_session=session)
model.deploy(initial_instance_count=1, instance_type="ml.m5.xlarge", endpoint_name="DEMO-xgb-explained", explainer_config=explainer_config)

predictor = Predictor("DEMO-xgb-explained", sagemaker_session=session, serializer=serializer, deserializer=JSONDeserializer())
# The deserializer reads the explainer's document; what the model answers inside it is asked for as CSV.
csv = {"Accept": "text/csv"}
unexplained = predictor.predict(baseline, initial_args={"EnableExplanations": "`false`", **csv})
assert unexplained["explanations"] == {}, unexplained
expected_value = float(unexplained["predictions"]["data"])
result = predictor.predict(numbers[:3], initial_args=csv)
for row, prediction, record in zip(numbers, result["predictions"]["data"].split(), result["explanations"]["kernel_shap"]):
    added = {one["feature_header"]: one["attributions"][0]["attribution"][0] for one in record}
    assert list(added) == features, added
    assert abs(expected_value + sum(added.values()) - float(prediction)) < 1e-6, (expected_value, added, prediction)
    print(f"prediction {float(prediction):.2f}: most by", max(added, key=lambda feature: abs(added[feature])))
# A seed makes the samples the same.
assert predictor.predict(numbers[:3], initial_args=csv) == result
predictor.delete_model()
predictor.delete_endpoint()
