"""Titles of the known kinds of message: a table, read by :mod:`protocols.hl7.catalogue`.

One line a kind: kind | structure, if not the kind itself | what answers it | English | French | Arabic.
"""

# ruff: noqa: E501 - a table, one line a kind

from typing import Final

KINDS: Final = """
ADT^A01 | | ACK^A01 | Admission | Admission | دخول مريض
ADT^A02 | | ACK^A02 | Transfer | Transfert | نقل مريض
ADT^A03 | | ACK^A03 | Discharge | Sortie | خروج مريض
ADT^A04 | ADT_A01 | ACK^A04 | Registration | Enregistrement | تسجيل مريض
ADT^A05 | | ACK^A05 | Pre-admission | Préadmission | دخول مسبق
ADT^A06 | | ACK^A06 | Outpatient becomes inpatient | Passage en hospitalisation | تحويل إلى الاستشفاء
ADT^A07 | ADT_A06 | ACK^A07 | Inpatient becomes outpatient | Passage en externe | تحويل إلى العيادة الخارجية
ADT^A08 | ADT_A01 | ACK^A08 | Patient information update | Mise à jour du patient | تحديث بيانات المريض
ADT^A09 | | ACK^A09 | Patient departing | Départ du patient | مغادرة مؤقتة
ADT^A10 | ADT_A09 | ACK^A10 | Patient arriving | Arrivée du patient | وصول المريض
ADT^A11 | ADT_A09 | ACK^A11 | Admission cancelled | Annulation d’admission | إلغاء الدخول
ADT^A12 | | ACK^A12 | Transfer cancelled | Annulation de transfert | إلغاء النقل
ADT^A13 | ADT_A01 | ACK^A13 | Discharge cancelled | Annulation de sortie | إلغاء الخروج
ADT^A14 | ADT_A05 | ACK^A14 | Pending admission | Admission prévue | دخول مرتقب
ADT^A15 | | ACK^A15 | Pending transfer | Transfert prévu | نقل مرتقب
ADT^A16 | | ACK^A16 | Pending discharge | Sortie prévue | خروج مرتقب
ADT^A17 | | ACK^A17 | Bed swap | Échange de lits | تبادل الأسرّة
ADT^A18 | | ACK^A18 | Patient information merge | Fusion de patients | دمج بيانات المريض
ADT^A20 | | ACK^A20 | Bed status update | État du lit | حالة السرير
ADT^A21 | | ACK^A21 | Leave of absence | Départ en permission | إذن بالغياب
ADT^A22 | ADT_A21 | ACK^A22 | Return from leave | Retour de permission | عودة من الغياب
ADT^A23 | ADT_A21 | ACK^A23 | Patient record deleted | Suppression du dossier | حذف سجل المريض
ADT^A24 | | ACK^A24 | Patients linked | Rapprochement de patients | ربط مريضين
ADT^A25 | ADT_A21 | ACK^A25 | Pending discharge cancelled | Annulation de sortie prévue | إلغاء الخروج المرتقب
ADT^A26 | ADT_A21 | ACK^A26 | Pending transfer cancelled | Annulation de transfert prévu | إلغاء النقل المرتقب
ADT^A27 | ADT_A21 | ACK^A27 | Pending admission cancelled | Annulation d’admission prévue | إلغاء الدخول المرتقب
ADT^A28 | ADT_A05 | ACK^A28 | Person added | Création de personne | إضافة شخص
ADT^A29 | ADT_A21 | ACK^A29 | Person deleted | Suppression de personne | حذف شخص
ADT^A30 | | ACK^A30 | Person information merge | Fusion de personnes | دمج بيانات شخص
ADT^A31 | ADT_A05 | ACK^A31 | Person information update | Mise à jour de personne | تحديث بيانات شخص
ADT^A32 | ADT_A21 | ACK^A32 | Arrival cancelled | Annulation d’arrivée | إلغاء الوصول
ADT^A33 | ADT_A21 | ACK^A33 | Departure cancelled | Annulation de départ | إلغاء المغادرة
ADT^A34 | ADT_A30 | ACK^A34 | Patient merge by identifier | Fusion par identifiant patient | دمج حسب معرّف المريض
ADT^A35 | ADT_A30 | ACK^A35 | Account number merge | Fusion de numéros de compte | دمج أرقام الحساب
ADT^A36 | ADT_A30 | ACK^A36 | Patient and account merge | Fusion de patient et de compte | دمج المريض والحساب
ADT^A37 | | ACK^A37 | Patients unlinked | Séparation de patients | فك ربط مريضين
ADT^A38 | | ACK^A38 | Pre-admission cancelled | Annulation de préadmission | إلغاء الدخول المسبق
ADT^A39 | | ACK^A39 | Person merge by patient identifier | Fusion de personnes par identifiant | دمج أشخاص حسب المعرّف
ADT^A40 | ADT_A39 | ACK^A40 | Patient identifiers merged | Fusion d’identifiants patient | دمج معرّفات المريض
ADT^A41 | ADT_A39 | ACK^A41 | Accounts merged | Fusion de comptes | دمج الحسابات
ADT^A42 | ADT_A39 | ACK^A42 | Visits merged | Fusion de séjours | دمج الزيارات
ADT^A43 | | ACK^A43 | Patient identifier moved | Déplacement d’identifiant patient | نقل معرّف المريض
ADT^A44 | ADT_A43 | ACK^A44 | Account moved | Déplacement de compte | نقل الحساب
ADT^A45 | | ACK^A45 | Visit moved | Déplacement de séjour | نقل الزيارة
ADT^A46 | ADT_A30 | ACK^A46 | Patient identifier changed | Changement d’identifiant externe | تغيير المعرّف الخارجي
ADT^A47 | ADT_A30 | ACK^A47 | Patient identifier list changed | Changement d’identifiants patient | تغيير معرّفات المريض
ADT^A48 | ADT_A30 | ACK^A48 | Alternate identifier changed | Changement d’identifiant secondaire | تغيير المعرّف البديل
ADT^A49 | ADT_A30 | ACK^A49 | Account number changed | Changement de numéro de compte | تغيير رقم الحساب
ADT^A50 | | ACK^A50 | Visit number changed | Changement de numéro de séjour | تغيير رقم الزيارة
ADT^A51 | ADT_A50 | ACK^A51 | Alternate visit number changed | Changement de numéro de séjour secondaire | تغيير رقم الزيارة البديل
ADT^A52 | | ACK^A52 | Leave of absence cancelled | Annulation de permission | إلغاء الإذن بالغياب
ADT^A53 | ADT_A52 | ACK^A53 | Return from leave cancelled | Annulation de retour de permission | إلغاء العودة من الغياب
ADT^A54 | | ACK^A54 | Attending doctor changed | Changement de médecin responsable | تغيير الطبيب المعالج
ADT^A55 | ADT_A52 | ACK^A55 | Change of attending doctor cancelled | Annulation du changement de médecin | إلغاء تغيير الطبيب المعالج
ADT^A60 | | ACK^A60 | Allergy update | Mise à jour des allergies | تحديث الحساسية
ADT^A61 | | ACK^A61 | Consulting doctor changed | Changement de médecin consultant | تغيير الطبيب الاستشاري
ADT^A62 | ADT_A61 | ACK^A62 | Change of consulting doctor cancelled | Annulation du changement de consultant | إلغاء تغيير الاستشاري
ORM^O01 | | ORR^O02 | Order | Demande | طلب
ORR^O02 | | | Order response | Réponse à la demande | رد على الطلب
OMG^O19 | | ORG^O20 | Clinical or imaging order | Demande d’acte ou d’imagerie | طلب فحص أو تصوير
ORG^O20 | | | Clinical or imaging order response | Réponse à la demande d’acte | رد على طلب الفحص
OMI^O23 | | ORI^O24 | Imaging order | Demande d’imagerie | طلب تصوير طبي
ORI^O24 | | | Imaging order response | Réponse à la demande d’imagerie | رد على طلب التصوير
OML^O21 | | ORL^O22 | Laboratory order | Demande d’analyses | طلب تحاليل
OML^O33 | | ORL^O34 | Laboratory order by specimen | Demande d’analyses par prélèvement | طلب تحاليل حسب العيّنة
OML^O35 | | ORL^O36 | Laboratory order by container | Demande d’analyses par contenant | طلب تحاليل حسب الوعاء
OML^O39 | | ORL^O40 | Specimen shipment order | Demande pour envoi de prélèvements | طلب شحنة عيّنات
ORL^O22 | | | Laboratory order response | Réponse à la demande d’analyses | رد على طلب التحاليل
ORL^O34 | | | Laboratory order response by specimen | Réponse par prélèvement | رد حسب العيّنة
ORL^O36 | | | Laboratory order response by container | Réponse par contenant | رد حسب الوعاء
ORL^O40 | | | Specimen shipment response | Réponse pour envoi de prélèvements | رد على شحنة العيّنات
ORU^R01 | | ACK^R01 | Result | Résultat | نتيجة
ORU^R30 | | ACK^R33 | Point-of-care result, order to be made | Résultat délocalisé, sans demande | نتيجة بجانب السرير دون طلب
ORU^R31 | ORU_R30 | ACK^R33 | Point-of-care result, order to be found | Résultat délocalisé, demande à trouver | نتيجة بجانب السرير لطلب يُبحث عنه
ORU^R32 | ORU_R30 | ACK^R33 | Point-of-care result for an order | Résultat délocalisé, sur demande | نتيجة بجانب السرير لطلب
ORU^R40 | ORU_R01 | ACK^R40 | Alert | Alerte | إنذار
OUL^R22 | | ACK^R22 | Results by specimen | Résultats par prélèvement | نتائج حسب العيّنة
OUL^R23 | | ACK^R23 | Results by container | Résultats par contenant | نتائج حسب الوعاء
OUL^R24 | | ACK^R24 | Results by order | Résultats par demande | نتائج حسب الطلب
OMS^O05 | | ORS^O06 | Stock order | Commande de stock | طلب من المخزون
ORS^O06 | | | Stock order response | Réponse à la commande de stock | رد على طلب المخزون
OMN^O07 | | ORN^O08 | Order of other supplies | Commande hors stock | طلب لوازم خارج المخزون
ORN^O08 | | | Response on other supplies | Réponse à la commande hors stock | رد على طلب اللوازم
OMP^O09 | | ORP^O10 | Pharmacy order | Prescription | وصفة طبية
ORP^O10 | | | Pharmacy order response | Réponse à la prescription | رد على الوصفة
RDE^O11 | | RRE^O12 | Encoded prescription | Prescription codée | وصفة مرمّزة
RRE^O12 | | | Encoded prescription response | Réponse à la prescription codée | رد على الوصفة المرمّزة
RDS^O13 | | RRD^O14 | Dispensing | Délivrance de médicaments | صرف الدواء
RRD^O14 | | | Dispensing response | Réponse à la délivrance | رد على صرف الدواء
RAS^O17 | | RRA^O18 | Drug administration | Administration de médicaments | إعطاء الدواء
RRA^O18 | | | Drug administration response | Réponse à l’administration | رد على إعطاء الدواء
MDM^T01 | | ACK^T01 | Document notice | Avis de document | إشعار بوثيقة
MDM^T02 | | ACK^T02 | Document | Document | وثيقة
MDM^T03 | MDM_T01 | ACK^T03 | Document status notice | Avis de statut de document | إشعار بحالة وثيقة
MDM^T04 | MDM_T02 | ACK^T04 | Document status | Statut de document | حالة وثيقة
MDM^T05 | MDM_T01 | ACK^T05 | Addendum notice | Avis d’addendum | إشعار بملحق
MDM^T06 | MDM_T02 | ACK^T06 | Addendum | Addendum | ملحق وثيقة
MDM^T07 | MDM_T01 | ACK^T07 | Document edit notice | Avis de modification | إشعار بتعديل وثيقة
MDM^T08 | MDM_T02 | ACK^T08 | Edited document | Document modifié | وثيقة معدّلة
MDM^T09 | MDM_T01 | ACK^T09 | Document replacement notice | Avis de remplacement | إشعار باستبدال وثيقة
MDM^T10 | MDM_T02 | ACK^T10 | Replacement document | Document de remplacement | وثيقة بديلة
MDM^T11 | MDM_T01 | ACK^T11 | Document cancelled | Document annulé | إلغاء وثيقة
REF^I12 | | RRI^I12 | Referral | Orientation d’un patient | إحالة مريض
REF^I13 | REF_I12 | RRI^I13 | Referral changed | Modification d’orientation | تعديل إحالة
REF^I14 | REF_I12 | RRI^I14 | Referral cancelled | Annulation d’orientation | إلغاء إحالة
REF^I15 | REF_I12 | RRI^I15 | Referral status request | Suivi d’orientation | متابعة إحالة
RRI^I12 | | | Referral answer | Réponse à l’orientation | رد على الإحالة
RRI^I13 | RRI_I12 | | Answer to a changed referral | Réponse à la modification d’orientation | رد على تعديل الإحالة
RRI^I14 | RRI_I12 | | Answer to a cancelled referral | Réponse à l’annulation d’orientation | رد على إلغاء الإحالة
RRI^I15 | RRI_I12 | | Referral status | État de l’orientation | حالة الإحالة
SRM^S01 | | SRR^S01 | Appointment request | Demande de rendez-vous | طلب موعد
SRM^S02 | SRM_S01 | SRR^S02 | Request to move an appointment | Demande de report de rendez-vous | طلب تأجيل موعد
SRM^S03 | SRM_S01 | SRR^S03 | Request to change an appointment | Demande de modification de rendez-vous | طلب تعديل موعد
SRM^S04 | SRM_S01 | SRR^S04 | Request to cancel an appointment | Demande d’annulation de rendez-vous | طلب إلغاء موعد
SRM^S05 | SRM_S01 | SRR^S05 | Request to discontinue an appointment | Demande d’interruption de rendez-vous | طلب إيقاف موعد
SRM^S06 | SRM_S01 | SRR^S06 | Request to delete an appointment | Demande de suppression de rendez-vous | طلب حذف موعد
SRM^S07 | SRM_S01 | SRR^S07 | Request to add a resource | Demande d’ajout de ressource | طلب إضافة مورد
SRM^S08 | SRM_S01 | SRR^S08 | Request to change a resource | Demande de modification de ressource | طلب تعديل مورد
SRM^S09 | SRM_S01 | SRR^S09 | Request to cancel a resource | Demande d’annulation de ressource | طلب إلغاء مورد
SRM^S10 | SRM_S01 | SRR^S10 | Request to discontinue a resource | Demande d’interruption de ressource | طلب إيقاف مورد
SRM^S11 | SRM_S01 | SRR^S11 | Request to delete a resource | Demande de suppression de ressource | طلب حذف مورد
SRR^S01 | | | Appointment answer | Réponse à la demande de rendez-vous | رد على طلب الموعد
SRR^S02 | SRR_S01 | | Answer on moving an appointment | Réponse au report de rendez-vous | رد على تأجيل الموعد
SRR^S03 | SRR_S01 | | Answer on changing an appointment | Réponse à la modification de rendez-vous | رد على تعديل الموعد
SRR^S04 | SRR_S01 | | Answer on cancelling an appointment | Réponse à l’annulation de rendez-vous | رد على إلغاء الموعد
SIU^S12 | | ACK^S12 | Appointment booked | Rendez-vous pris | موعد محجوز
SIU^S13 | SIU_S12 | ACK^S13 | Appointment moved | Rendez-vous reporté | موعد مؤجّل
SIU^S14 | SIU_S12 | ACK^S14 | Appointment changed | Rendez-vous modifié | موعد معدّل
SIU^S15 | SIU_S12 | ACK^S15 | Appointment cancelled | Rendez-vous annulé | موعد ملغى
SIU^S16 | SIU_S12 | ACK^S16 | Appointment discontinued | Rendez-vous interrompu | موعد متوقف
SIU^S17 | SIU_S12 | ACK^S17 | Appointment deleted | Rendez-vous supprimé | موعد محذوف
SIU^S18 | SIU_S12 | ACK^S18 | Resource added | Ressource ajoutée | مورد مضاف
SIU^S19 | SIU_S12 | ACK^S19 | Resource changed | Ressource modifiée | مورد معدّل
SIU^S20 | SIU_S12 | ACK^S20 | Resource cancelled | Ressource annulée | مورد ملغى
SIU^S21 | SIU_S12 | ACK^S21 | Resource discontinued | Ressource interrompue | مورد متوقف
SIU^S22 | SIU_S12 | ACK^S22 | Resource deleted | Ressource supprimée | مورد محذوف
SIU^S23 | SIU_S12 | ACK^S23 | Time slot blocked | Plage bloquée | حجب فترة
SIU^S24 | SIU_S12 | ACK^S24 | Time slot opened | Plage ouverte | فتح فترة
SIU^S26 | SIU_S12 | ACK^S26 | Patient did not come | Patient absent au rendez-vous | غياب عن الموعد
QBP^Q11 | | RSP^K11 | Query | Requête | استعلام
QBP^Q21 | | RSP^K21 | Demographics query | Requête d’identité | استعلام عن الهوية
QBP^Q22 | QBP_Q21 | RSP^K22 | Patient search | Recherche de patient | بحث عن مريض
QBP^Q23 | QBP_Q21 | RSP^K23 | Identifier query | Requête d’identifiants | استعلام عن المعرّفات
RSP^K11 | RSP_K11 | | Query answer | Réponse à la requête | رد على الاستعلام
RSP^K21 | | | Demographics | Identité du patient | بيانات الهوية
RSP^K22 | RSP_K21 | | Patients found | Patients trouvés | نتائج البحث عن مريض
RSP^K23 | | | Identifiers | Identifiants du patient | معرّفات المريض
MFN^M01 | | MFK^M01 | Reference file update | Mise à jour d’un référentiel | تحديث ملف مرجعي
MFN^M02 | | MFK^M02 | Staff file update | Mise à jour du personnel | تحديث ملف الموظفين
MFN^M05 | | MFK^M05 | Location file update | Mise à jour des lieux | تحديث ملف الأماكن
MFK^M01 | | | Reference file answer | Réponse du référentiel | رد على الملف المرجعي
MFK^M02 | MFK_M01 | | Staff file answer | Réponse du fichier du personnel | رد على ملف الموظفين
MFK^M05 | MFK_M01 | | Location file answer | Réponse du fichier des lieux | رد على ملف الأماكن
DFT^P03 | | ACK^P03 | Charges | Facturation d’actes | فوترة
DFT^P11 | | ACK^P11 | Charges, extended | Facturation d’actes étendue | فوترة موسّعة
BAR^P01 | | ACK^P01 | Account opened | Ouverture de compte | فتح حساب
BAR^P05 | | ACK^P05 | Account update | Mise à jour de compte | تحديث حساب
VXU^V04 | | ACK^V04 | Vaccination | Vaccination | تطعيم
PPR^PC1 | | ACK^PC1 | Problem added | Ajout de problème de santé | إضافة مشكلة صحية
ACK | ACK | | Acknowledgement | Accusé de réception | إشعار بالاستلام
"""
